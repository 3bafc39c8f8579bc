/* A CNN in plain JavaScript: htgen/cnn/executor_numpy.py for one image.
 * Activations are {size, channels, values}, values in the order [y, x, channel]. */
"use strict";

/** Take the CNN out of its description: `{spec, steps, tensors: {name: [shape, place]}, data}`, weights as base64. */
function readCnn(file) {
  const bytes = Uint8Array.from(atob(file.data), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer), tensors = {};
  for (const [name, [count, place]] of Object.entries(file.tensors)) {
    tensors[name] = Float32Array.from({ length: count }, (_, i) => view.getFloat32(place + 4 * i, true));
  }
  return { ...file, tensors };
}

/** Probabilities of all classes for prepared pixels, bytes [size, size, channels]. */
function classify(cnn, pixels) {
  const { spec, tensors } = cnn, outputs = {};
  let x = { size: spec.image_size, channels: spec.image_channels, values: Float32Array.from(pixels, (v) => v / 128 - 1) };
  spec.convs.forEach((conv, i) => (x = outputs[conv.name] = runBlock(spec, conv, cnn.steps[i], tensors, x, outputs)));
  const logits = logitsOf(spec, tensors, x), most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most)), total = powers.reduce((sum, p) => sum + p, 0);
  return powers.map((power) => power / total);
}

/** All steps of a block, in its order. */
function runBlock(spec, conv, steps, tensors, x, outputs) {
  for (const step of steps) {
    if (step === "conv") x = convolve(conv, tensors[`${conv.name}.weight`], x);
    else if (step === "bias") x = byChannel(x, (v, c) => v + tensors[`${conv.name}.bias`][c]);
    else if (step === "add") x = { ...x, values: x.values.map((v, i) => v + outputs[conv.add].values[i]) };
    else if (step === "activation") x = activate(x, conv.activation || spec.activation);
    else if (step === "pool") x = pool(x, conv.pooling);
    else if (step === "norm") x = normalise(conv, tensors, x);
  }
  return x;
}

function byChannel(x, change) {
  return { ...x, values: x.values.map((v, i) => change(v, i % x.channels)) };
}

function convolve(conv, kernel, x) {
  const { stride, kernel: k, groups = 1, out_channels: outputs } = conv;
  const behind = conv.same_padding ? k >> 1 : 0, padding = behind - (conv.padded_behind ? 1 : 0);
  const inputs = x.channels / groups, perGroup = outputs / groups;
  const size = Math.floor((x.size + padding + behind - k) / stride) + 1;
  const values = new Float32Array(size * size * outputs);
  // By output channel, kernel [k, k, inputs], so that it is read in the order of the activations.
  const turned = new Float32Array(kernel.length);
  for (let o = 0, at = 0; o < outputs; o++) {
    for (let place = 0; place < k * k; place++) for (let c = 0; c < inputs; c++) turned[at++] = kernel[(o * inputs + c) * k * k + place];
  }
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const top = row * stride - padding, left = column * stride - padding;
      const rows = [Math.max(0, -top), Math.min(k, x.size - top)], columns = [Math.max(0, -left), Math.min(k, x.size - left)];
      for (let o = 0; o < outputs; o++) {
        const first = Math.floor(o / perGroup) * inputs;
        let sum = 0;
        for (let i = rows[0]; i < rows[1]; i++) {
          for (let j = columns[0]; j < columns[1]; j++) {
            let at = ((top + i) * x.size + left + j) * x.channels + first, w = ((o * k + i) * k + j) * inputs;
            for (let c = 0; c < inputs; c++) sum += x.values[at++] * turned[w++];
          }
        }
        values[(row * size + column) * outputs + o] = sum;
      }
    }
  }
  return { size, channels: outputs, values };
}

function activate(x, activation) {
  const change = {
    none: (v) => v,
    relu: (v) => Math.max(v, 0),
    relu6: (v) => Math.min(Math.max(v, 0), 6),
    lrelu: (v) => Math.max(v, 0.01 * v),
  }[activation];
  return { ...x, values: x.values.map(change) };
}

/** A 2x2 pool; an odd last row or column is dropped. */
function pool(x, pooling) {
  const size = x.size >> 1, { channels } = x, values = new Float32Array(size * size * channels);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      for (let c = 0; c < channels; c++) {
        const at = (i, j) => x.values[((2 * row + i) * x.size + 2 * column + j) * channels + c];
        const four = [at(0, 0), at(0, 1), at(1, 0), at(1, 1)];
        values[(row * size + column) * channels + c] = pooling === "average" ? (four[0] + four[1] + four[2] + four[3]) / 4 : Math.max(...four);
      }
    }
  }
  return { size, channels, values };
}

function normalise(conv, tensors, x) {
  const [gamma, beta, mean, variance] = ["weight", "bias", "mean", "var"].map((part) => tensors[`${conv.name}.norm.${part}`]);
  const scale = gamma.map((g, c) => g / Math.sqrt(variance[c] + 1e-3)), shift = beta.map((b, c) => b - mean[c] * scale[c]);
  return byChannel(x, (v, c) => v * scale[c] + shift[c]);
}

/** The logits layer reads features in the order [channel, y, x], or the mean of each channel. */
function logitsOf(spec, tensors, { size, channels, values }) {
  const places = size * size, isAverage = spec.head === "average", features = new Float32Array(isAverage ? channels : channels * places);
  values.forEach((v, i) => {
    const c = i % channels, place = (i - c) / channels;
    if (isAverage) features[c] += v / places;
    else features[c * places + place] = v;
  });
  if (spec.unit_features) {
    const length = Math.sqrt(features.reduce((sum, v) => sum + v * v, 0));
    features.forEach((v, i) => (features[i] = v / Math.max(length, 1e-12)));
  }
  const weight = tensors["logits.weight"];
  return Array.from(tensors["logits.bias"], (bias, n) => features.reduce((sum, v, i) => sum + v * weight[n * features.length + i], bias));
}

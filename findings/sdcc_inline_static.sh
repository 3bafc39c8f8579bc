#!/usr/bin/env bash
# SDCC 4.2.0: a static variable inside a `static inline` function exists once per call.
#
# C gives a static variable of a function one place, however often the function is called or inlined.
# SDCC copies the variable into every place where it inlines the function.
# A counter then starts anew in each call, and nothing warns.
# A CNN written as one header for small chips has scratch buffers of this kind: three inlined calls take
# four times the memory, and what one layer leaves in a buffer is not there for the next.
#
# Seen (called three times each, run in the STM8 emulator of SDCC):
#   static inline next(): 01 01 01
#   static plain():       01 02 03
#   bytes of data for a buffer of 200 bytes in `static inline`: 1004, in `static`: 204
set -euo pipefail

for tool in sdcc sstm8; do
  command -v "$tool" >/dev/null || { echo "needs $tool (Debian packages sdcc and sdcc-ucsim)" >&2; exit 2; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >count.c <<'C'
static inline unsigned char next(void) { static unsigned char count; return ++count; }
static unsigned char plain(void) { static unsigned char count; return ++count; }
volatile unsigned char seen[6];
void done(void) {}
void main(void) {
    seen[0] = next(); seen[1] = next(); seen[2] = next();
    seen[3] = plain(); seen[4] = plain(); seen[5] = plain();
    done();
    for (;;) ;
}
C
sdcc -mstm8 --std-c11 count.c -o count.ihx
address() { awk -v name="_$1" '$2 == name { print $1; exit }' count.map; }
printf 'break 0x%s\nrun\ndump rom 0x%s 0x%x\nquit\n' \
  "$(address done)" "$(address seen)" "$((16#$(address seen) + 5))" >commands
line=$(timeout 30 sstm8 count.ihx <commands 2>&1 | tr '\r' '\n' | grep -oE '0x[0-9a-f]{5}( +[0-9a-f]{2}){6} ' | tail -1)
read -r _ a b c d e f <<<"$line"

data_bytes() {  # of a program that calls a function with a buffer of 200 bytes four times
  cat >buffer.c <<C
$1 unsigned char hit(unsigned char i) { static unsigned char buffer[200]; return ++buffer[i]; }
unsigned char seen[4];
void main(void) { seen[0] = hit(0); seen[1] = hit(1); seen[2] = hit(2); seen[3] = hit(3); for (;;) ; }
C
  sdcc -mstm8 --std-c11 buffer.c -o buffer.ihx
  awk '$1 == "DATA" && $5 ~ /^[0-9]+\.$/ { print $5 + 0; exit }' buffer.map
}

sdcc --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -1 | sed 's/^/SDCC /'
echo "expected: both functions count 01 02 03, both programs take the same memory"
echo "static inline next(): $a $b $c"
echo "static plain():       $d $e $f"
inline=$(data_bytes "static inline")
plain=$(data_bytes "static")
echo "bytes of data for a buffer of 200 bytes in \`static inline\`: $inline, in \`static\`: $plain"

[ "$a $b $c" = "01 01 01" ] && [ "$d $e $f" = "01 02 03" ] && [ "$inline" -gt "$((3 * plain))" ]

#!/usr/bin/env bash
# easyfsl 1.5.0: the method `Finetune` calls itself inductive, and its answers hang on how many batches came before.
#
# `Finetune` trains the class prototypes on the support images inside `forward`, from where the last call left them. A
# second call on the same queries so trains for 200 steps more. One would expect the answers to an image to be the same,
# however the queries are divided into batches: `is_transductive()` says False.
# An accuracy that is measured in batches of 10 is not that of batches of 200, and the last batch gets the
# most training.
#
# Seen: of 200 queries, 20 get another class in batches of 10 than at once; the 20th call on the same queries gives 24
# other classes than the first.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 pandas==3.1.1 pillow==13.0.0 \
    requests==2.34.2 tqdm==4.70.1 scipy==1.17.1
# easyfsl needs torchvision for its networks and its readers of images alone. This version is the last that can be
# imported beside any torch.
"$folder/venv/bin/pip" install -q --no-deps easyfsl==1.5.0 torchvision==0.15.2
cat >"$folder/show.py" <<'PY'
import warnings

warnings.filterwarnings("ignore", message="Failed to load image Python extension")  # torchvision is older than torch
import torch
from easyfsl.methods import Finetune

torch.manual_seed(0)
support, labels, queries = torch.randn(10, 16), torch.arange(5).repeat(2), torch.randn(200, 16)


def fresh():
    method = Finetune(torch.nn.Identity())
    method.process_support_set(support, labels)
    return method


def answers(method, images):
    with torch.no_grad():
        return method(images).argmax(1)


at_once = answers(fresh(), queries)
assert torch.equal(at_once, answers(fresh(), queries))  # nothing is left to chance
method = fresh()
in_tens = torch.cat([answers(method, part) for part in queries.split(10)])
method = fresh()
calls = [answers(method, queries) for _ in range(20)]
tens, twentieth = (int((found != at_once).sum()) for found in (in_tens, calls[-1]))
print(f"easyfsl, Finetune: is_transductive() is {Finetune.is_transductive()}")
print(f"200 queries in batches of 10: {tens} other classes than at once")
print(f"the 20th call on the same queries: {twentieth} other classes than the first")
assert not Finetune.is_transductive()
assert tens > 5
assert twentieth > 5
print("as described")
PY
"$folder/venv/bin/python" "$folder/show.py"

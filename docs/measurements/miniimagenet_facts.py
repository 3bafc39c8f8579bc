"""Facts of miniImageNet's images: identical pairs, and grey images.

htgen prepare-data miniimagenet --source DIR
python docs/measurements/miniimagenet_facts.py data/miniimagenet
"""

import hashlib
import sys
from collections import Counter

import numpy as np

from htgen.datasets.splits import resolve_split
from htgen.datasets.store import Store


def main(path: str) -> None:
    """Print the facts of a store."""
    store = Store.open(path)
    part_of = {
        number: part
        for part in ("train", "val", "test")
        for number in resolve_split(store, f"reference:{part}")
    }
    seen: dict[bytes, tuple[int, int]] = {}
    grey: Counter[str] = Counter()
    for number, name in enumerate(store.class_names):
        for row in range(store.offsets[number], store.offsets[number + 1]):
            image = np.asarray(store.images[row])
            grey[name] += bool((image == image[..., :1]).all())
            digest = hashlib.sha256(image.tobytes()).digest()
            if digest in seen:
                other, before = seen[digest]
                names = f"{part_of[other]} {store.class_names[other]}, {part_of[number]} {name}"
                print(f"identical: {names} (images {before} and {row})")
            seen[digest] = number, row
    total = len(store.images)
    print(f"grey: {sum(grey.values())} of {total} ({sum(grey.values()) / total:.2%})")
    for name, count in grey.most_common(3):
        size = int(store.class_sizes[store.class_names.index(name)])
        print(f"grey in {name}: {count} of {size} ({count / size:.1%})")


if __name__ == "__main__":
    main(sys.argv[1])

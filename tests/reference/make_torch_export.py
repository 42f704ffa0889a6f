"""Store what torch computes of the networks in tests/formats/exported.py, exported to it.

Run after a change of these networks, or of what is exported:

    PYTHONPATH=.:tests/formats python tests/reference/make_torch_export.py
"""

import json
from pathlib import Path

import exported
import numpy as np
import torch

from scratchnet.formats.torch import to_state_dict, torch_code
from scratchnet.layers.image import image_of


def computed(network, x: np.ndarray) -> np.ndarray:
    """The logits of the torch module that the text builds, with the exported arrays."""
    names: dict = {}
    exec(torch_code(network), names)
    model = names["model"]
    arrays = to_state_dict(network)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    image = image_of(network.input_shape)
    given = torch.from_numpy(x).reshape(len(x), -1)
    if image is not None:
        given = given.reshape(len(x), *image).permute(0, 3, 1, 2)
    with torch.no_grad():
        return model.eval()(given).numpy()


if __name__ == "__main__":
    stored, texts = {}, {}
    for name, shape in exported.CASES:
        case = exported.case_of(name, shape)
        network = exported.network_of(name, shape, "float64")
        x = stored[exported.case_of("x", shape)] = np.round(exported.inputs_of(network, 2), 3)
        arrays = to_state_dict(network)
        stored[f"{case}.y"] = computed(network, x)
        stored[f"{case}.marks"] = np.array([exported.mark_of(array) for array in arrays.values()])
        texts[case] = {
            "code": torch_code(network),
            "shapes": {name: array.shape for name, array in arrays.items()},
        }
        # In float32, as a user loads it.
        small = exported.network_of(name, shape)
        difference = np.abs(computed(small, x.astype(np.float32)) - stored[f"{case}.y"]).max()
        print(f"{case:30} {difference:.1e}")
    config = json.dumps({"library": f"torch {torch.__version__}", "texts": texts})
    path = Path(__file__).with_name("torch_export.npz")
    np.savez_compressed(path, config=config, **stored)

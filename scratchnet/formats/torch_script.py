"""A Python file that builds the network in torch, and the weights that it loads, beside it."""

from pathlib import Path

from scratchnet.errors import ParameterError
from scratchnet.formats.safetensors import to_safetensors
from scratchnet.formats.torch import torch_code
from scratchnet.networks.network import Network
from scratchnet.storage.atomic import write_text

SUFFIX = ".safetensors"
BEFORE = """\
from pathlib import Path

from safetensors.torch import load_file

"""
AFTER = f"""
model.load_state_dict(load_file(Path(__file__).with_suffix("{SUFFIX}")))
model.eval()
"""


def to_torch_script(network: Network, path: str | Path) -> Path:
    """Write a .py whose `model` is the trained module; returns the path of its weights.

    They are a .safetensors of the same name in the same folder, and the two belong together.
    Nothing is pickled. Raises what `to_safetensors` does, and ParameterError if `path` itself ends
    in .safetensors.
    """
    weights = Path(path).with_suffix(SUFFIX)
    if weights == Path(path):
        raise ParameterError(
            f"the text for torch must go into a .py, got {str(path)!r}; its weights are written "
            f"beside it, as {SUFFIX}"
        )
    text = f"{BEFORE}{torch_code(network)}{AFTER}"
    to_safetensors(network, weights)
    write_text(path, text)
    return weights

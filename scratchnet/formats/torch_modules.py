"""The modules that torch has not, as the text that a Python file defines them by."""

from types import MappingProxyType

from scratchnet.layers.numbers import FAR, SOFT_BOUND

OWN_MODULES = MappingProxyType(
    {
        "Residual": '''
class Residual(nn.Module):
    """x + f(x), or P x + f(x) with a projection P."""

    def __init__(self, f, projection=None):
        super().__init__()
        self.f = f
        self.projection = nn.Identity() if projection is None else projection

    def forward(self, x):
        return self.projection(x) + self.f(x)

''',
        "Standardize": '''
class Standardize(nn.Module):
    """(x - mean) / std, with constants that were taken from the training inputs."""

    def __init__(self, *shape):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))
        self.register_buffer("rows", torch.zeros(1))

    def forward(self, x):
        return (x - self.mean) / self.std

''',
        "RobustScale": f'''
class RobustScale(nn.Module):
    """z / sqrt(1 + (z / 3)^2), z = scale (x - median), by quantiles of the training inputs."""

    def __init__(self, *shape):
        super().__init__()
        self.register_buffer("median", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("rows", torch.zeros(1))

    def forward(self, x):
        z = (self.scale * (x - self.median)).clamp({-FAR:g}, {FAR:g}) / {SOFT_BOUND:g}
        return {SOFT_BOUND:g} * z / torch.sqrt(1 + z * z)

''',
        "PiecewiseLinear": '''
class PiecewiseLinear(nn.Module):
    """How far each value is in each of its bins, 0 to 1, side by side."""

    def __init__(self, counts):
        super().__init__()
        columns = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("edges", torch.zeros(len(columns)))
        self.register_buffer("slopes", torch.zeros(len(columns)))
        self.register_buffer("rows", torch.zeros(1))

    def forward(self, x):
        x = x.movedim(1, -1).flatten(1)[:, self.columns]
        return ((x - self.edges) * self.slopes).clamp(0, 1)

''',
        "Scale": '''
class Scale(nn.Module):
    """s x, with a factor for each input."""

    def __init__(self, *shape):
        super().__init__()
        self.s = nn.Parameter(torch.ones(shape))

    def forward(self, x):
        return self.s * x

''',
        "Embedding": '''
class Embedding(nn.Module):
    """A row of a table for the category in each column, side by side; 0 for what is not known."""

    def __init__(self, sizes, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(sum(sizes), width))
        self.register_buffer("sizes", torch.tensor(sizes), persistent=False)

    def forward(self, x):
        codes = x.movedim(1, -1).flatten(1).round()
        known = torch.where((codes > 0) & (codes < self.sizes), codes, 0).long()
        rows = known + self.sizes.cumsum(0) - self.sizes
        return nn.functional.embedding(rows, self.weight).flatten(1)

''',
        "Columns": '''
class Columns(nn.Module):
    """The columns in pieces, each through a layer of its own, side by side."""

    def __init__(self, sizes, *layers):
        super().__init__()
        self.sizes, self.layers = sizes, nn.ModuleList(layers)

    def forward(self, x):
        pieces = x.movedim(1, -1).flatten(1).split(self.sizes, 1)
        return torch.cat([f(piece) for f, piece in zip(self.layers, pieces)], 1)

''',
        "Concat": '''
class Concat(nn.Module):
    """All columns through each layer, side by side."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        x = x.movedim(1, -1).flatten(1)
        return torch.cat([f(x) for f in self.layers], 1)

''',
        "MemberAffine": '''
class MemberAffine(nn.Module):
    """An affine map of its own for each member, of its own part of a row."""

    def __init__(self, members, n_in, n_out, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(members * n_out)) if bias else 0.0

    def forward(self, x):
        x = x.movedim(1, -1).reshape(len(x), len(self.weight), -1).transpose(0, 1)
        return (x @ self.weight).transpose(0, 1).flatten(1) + self.bias

''',
    }
)
"""By name; each brings the same numbers as the layer of that name."""

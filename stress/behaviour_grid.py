"""The command lines of the record, as data: for each name the lines that are run in turn."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "rmsprop-centered", "adadelta"),
    *("adam", "amsgrad", "adamax", "nadam", "radam", "adamw", "adafactor", "rprop", "asgd"),
    *("lion", "lamb", "lars", "muon", "schedule-free-sgd", "schedule-free-adamw"),
    *("sam", "lookahead", "ema", "lbfgs"),
)
FULL_BATCH = ("rprop", "lbfgs")
ACTIVATIONS = (
    *("relu", "sigmoid", "tanh", "identity", "leaky-relu", "prelu"),
    *("elu", "selu", "gelu", "silu", "softplus", "mish"),
)
INITIALIZERS = (
    *("he", "he-uniform", "xavier", "xavier-uniform", "lecun", "lecun-uniform", "orthogonal"),
)
LOSSES = ("softmax", "mean-squared-error", "binary-cross-entropy", "poisson")
SCHEDULES: Mapping[str, str] = {
    "constant": "",
    "step": "every=0.25,gamma=0.5",
    "multi-step": "at=0.3:0.6,gamma=0.2",
    "exponential": "end=0.1",
    "linear": "end=0.2,hold=0.3",
    "polynomial": "power=3,end=0.1",
    "cosine": "end=0.1",
    "cosine-restarts": "cycles=2,growth=1.5,end=0.05",
    "one-cycle": "",
    "inverse-sqrt": "knee=0.2",
    "plateau": "factor=0.5,patience=1",
}
"""Every schedule, and options of it."""
SURFACES = (
    *("ellipse", "rosenbrock", "beale", "himmelblau", "booth"),
    *("three-hump-camel", "saddle", "plateau", "noisy-quadratic"),
)
DTYPES = ("float32", "float64")

USUAL: Mapping[str, str] = {
    **{"--epochs": "1", "--hidden": "16", "--train-samples": "700", "--out": "run"},
    "--no-report": "",
    "--quiet": "",
}
"""What a line has where it says nothing else: a run of a fraction of a second."""


@dataclass(frozen=True)
class Line:
    """A command line: its words, its ranks, a signal after so many steps of Adam."""

    words: str
    ranks: int = 1
    signal: int = 0
    step: int = 0


def usual(words: str) -> str:
    """The words, and what is usual of what they leave out."""
    given = {word.split("=")[0] for word in words.replace("--report", "--no-report").split()}
    rest = [f"{flag} {value}".strip() for flag, value in USUAL.items() if flag not in given]
    return " ".join([words, *rest]).strip()


OPTIONS: Mapping[str, str] = {
    "plain": "",
    "hidden/none": "--hidden none",
    "hidden/two": "--hidden 12,8",
    "activation/each": "--hidden 12,8 --activation tanh,gelu",
    "initializer/std": "--initializer 0.01",
    "l2": "--l2 0.01",
    "standardize/features": "--standardize features",
    "standardize/all": "--standardize all",
    "batch-norm": "--batch-norm",
    "batch-norm/no-gamma": "--batch-norm --no-gamma --noise 0.1",
    "batch-norm/remeasure": "--batch-norm --dropout 0.2 --remeasure 300",
    "layer-norm": "--layer-norm",
    "layer-norm/no-gamma": "--layer-norm --no-gamma",
    "noise": "--noise 0.2",
    "noise/each": "--hidden 12,8 --noise 0.1,0.3",
    "dropout": "--dropout 0.3",
    "dropout/each": "--hidden 12,8 --dropout 0.1,0.4",
    "input-noise": "--input-noise 0.1",
    "input-dropout": "--input-dropout 0.2",
    "max-norm": "--max-norm 0.8",
    "label-smoothing": "--label-smoothing 0.1",
    "class-weight/balanced": "--class-weight balanced",
    "class-weight/each": "--class-weight 1,2,1,1,0.5,1,1,3,1,1",
    "all layers": "--hidden 12,8 --batch-norm --noise 0.1 --dropout 0.1 --input-noise 0.05 "
    "--input-dropout 0.1 --max-norm 2 --standardize features --l2 0.001 --label-smoothing 0.05",
    "lr": "--lr 0.02",
    "weight-decay": "--optimizer adamw --weight-decay 0.1",
    "weight-decay/sgd": "--optimizer sgd --weight-decay 0.1",
    "clip-norm": "--clip-norm 0.3",
    "clip-value": "--clip-value 0.01",
    "ema": "--ema 0.9",
    "ema/batch-norm": "--ema 0.9 --batch-norm --remeasure 200",
    "ema/sam": "--optimizer sam --ema 0.8 --schedule cosine",
    "set/momentum": "--optimizer momentum --set momentum=0.5",
    "set/adam": "--set beta1=0.8,beta2=0.99,eps=1e-6",
    "set/lookahead": "--optimizer lookahead --set inner=momentum,k=3,alpha=0.4",
    "set/sam": "--optimizer sam --set inner=adam,rho=0.1",
    "set/ema": "--optimizer ema --set inner=rmsprop,decay=0.7",
    "set/muon": "--optimizer muon --set momentum=0.8,adam_share=0.5",
    "set/lbfgs": "--optimizer lbfgs --set iterations=5,history=3",
    "warmup": "--warmup 0.3",
    "warmup/cosine": "--warmup 0.2 --schedule cosine",
    "warmup/one-cycle": "--warmup 0.5 --schedule one-cycle",
    "warmup/plateau": "--warmup 0.2 --schedule plateau --epochs 3",
    "seed": "--seed 7",
    "threads": "--threads 1",
    "batch-size": "--batch-size 32",
    "batch-size/1": "--batch-size 1 --train-samples 60",
    "batch-size/all": "--batch-size 5000 --epochs 2",
    "val-split/none": "--val-split 0",
    "val-split/more": "--val-split 0.4",
    "train-samples/all": "--train-samples 1437",
    "patience": "--patience 1 --epochs 6 --lr 0.3",
    "patience/accuracy": "--patience 2 --epochs 5 --lr 0.1 --monitor val_accuracy",
    "save-every": "--save-every 2",
    "report": "--report",
    "json": "--json",
    "shift": "--augment shift=1",
    "rotate": "--augment rotate=10",
    "scale": "--augment scale=0.1",
    "shear": "--augment shear=5",
    "elastic": "--augment elastic=4:2",
    "erase": "--augment erase=0.5",
    "augment/all": "--augment shift=1,rotate=5,elastic=4:2,erase=0.3 --batch-norm --dropout 0.1",
}
"""A run with each option, in both precisions."""

FAMILIES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "optimizer": tuple((name, f"--optimizer {name}") for name in OPTIMIZERS),
    "activation": tuple((name, f"--activation {name}") for name in ACTIVATIONS),
    "initializer": tuple((name, f"--initializer {name}") for name in INITIALIZERS),
    "loss": tuple((name, f"--loss {name}") for name in LOSSES),
    "schedule": tuple((name, f"--schedule {name} --epochs 2") for name in SCHEDULES),
    "schedule-set": tuple(
        (name, f"--schedule {name} --schedule-set {options} --epochs 2 --optimizer momentum")
        for name, options in SCHEDULES.items()
        if options
    ),
    "option": tuple(OPTIONS.items()),
}


def singles() -> dict[str, tuple[Line, ...]]:
    """A run of one process for each option, in both precisions."""
    return {
        f"{family}/{name}/{dtype}": (Line(usual(f"{words} --dtype {dtype}")),)
        for family, options in FAMILIES.items()
        for (name, words), dtype in product(options, DTYPES)
    }


def resumed() -> dict[str, tuple[Line, ...]]:
    """Runs that are resumed: after an epoch, after a signal, with other options."""
    found: dict[str, tuple[Line, ...]] = {}
    disturbed = "--dropout 0.1 --batch-norm --input-noise 0.1 --dtype float64"
    for name in OPTIMIZERS:
        found[f"resume/{name}"] = (
            Line(usual(f"--optimizer {name} --schedule cosine {disturbed}")),
            Line("--resume run --epochs 2 --quiet"),
        )
    for number, step in product((2, 15), (1, 4, 7)):  # SIGINT, SIGTERM
        found[f"resume/signal {number} at step {step}"] = (
            Line(usual("--epochs 2 --schedule one-cycle --ema 0.8"), signal=number, step=step),
            Line("--resume run --quiet"),
        )
    begun = Line(usual("--epochs 2 --patience 3"))
    found |= {
        "resume/finished": (begun, Line("--resume run")),
        "resume/patience": (begun, Line("--resume run --epochs 5 --patience 1")),
        "resume/latest": (Line(usual("--out runs/one")), Line("--resume --epochs 2 --quiet")),
        "resume/clash": (begun, Line("--resume run --epochs 3 --lr 0.5")),
        "resume/override": (begun, Line("--resume run --epochs 3 --lr 0.5 --override")),
        "resume/out": (begun, Line("--resume run --out other")),
        "resume/again": (begun, Line(usual(""))),
        "resume/nothing": (Line("--resume"),),
        "resume/no folder": (Line("--resume nowhere"),),
        "resume/dry": (begun, Line("--resume run --epochs 3 --dry-run")),
    }
    return found


def comparisons() -> dict[str, tuple[Line, ...]]:
    """Several optimizers, seeds or rates."""
    words = {
        "optimizers": "--optimizer sgd momentum adam",
        "seeds": "--seeds 3",
        "both": "--optimizer sgd adam --seeds 3 --epochs 2 --dtype float64",
        "jobs": "--optimizer sgd adam --seeds 2 --jobs 2",
        "grid": "--optimizer adam --lr-grid 0.001,0.01,0.1",
        "grid/two": "--optimizer sgd adam --lr-grid 0.01,0.1 --dtype float64",
        "grid/auto": "--optimizer momentum --lr-grid auto",
        "target": "--optimizer sgd adam --target 0.3 --epochs 2",
        "ema": "--optimizer sgd adam --ema 0.9 --schedule cosine --epochs 2",
        "full batch": "--optimizer rprop lbfgs",
        "layers": "--optimizer adam lion --batch-norm --dropout 0.1 --augment shift=1",
        "diverges": "--optimizer sgd momentum --lr 1e30",
        "patience": "--optimizer sgd adam --patience 2",
        "lr and grid": "--optimizer sgd adam --lr 0.1 --lr-grid auto",
        "twice": "--optimizer sgd sgd",
    }
    found: dict[str, tuple[Line, ...]] = {
        f"compare/{name}": (Line(usual(text if "--jobs" in text else f"{text} --jobs 1")),)
        for name, text in words.items()
    }
    begun = Line(usual("--optimizer sgd adam --seeds 2 --jobs 1"))
    found["compare/resume"] = (begun, Line("--resume run"))
    found["compare/resume clash"] = (begun, Line("--resume run --l2 0.1"))
    return found


def others() -> dict[str, tuple[Line, ...]]:
    """What there is instead of training, and ranks."""
    found: dict[str, tuple[Line, ...]] = {}
    for name in ("sgd", "momentum", "adam", "rprop", "lars", "ema"):
        found[f"find-lr/{name}"] = (Line(usual(f"--find-lr --optimizer {name}")),)
    found["find-lr/two"] = (Line(usual("--find-lr --optimizer sgd adam --dtype float64")),)
    found["find-lr/layers"] = (Line(usual("--find-lr --batch-norm --augment shift=1")),)
    path = "--out run --no-report --steps 20"
    walkers = " ".join(name for name in OPTIMIZERS if name != "lbfgs")  # whose rate is 1
    for name in SURFACES:
        words = f"--surface {name} --optimizer sgd momentum adam"
        found[f"surface/{name}"] = (Line(f"{words} --lr 0.01 {path}"),)
    found |= {
        "surface/usual": (Line("--surface booth --optimizer sgd adam --out run"),),
        "surface/start": (Line(f"--surface beale --start=1,1 --lr 0.01 {path}"),),
        "surface/grid": (Line(f"--surface ellipse --lr-grid 0.01,0.1 {path}"),),
        "surface/tuned": (Line(f"--surface booth --optimizer rmsprop {path}"),),
        "surface/noise": (Line(f"--surface noisy-quadratic --seed 3 --ema 0.9 --lr 0.1 {path}"),),
        "surface/all": (Line(f"--surface booth --lr 0.01 {path} --optimizer {walkers}"),),
    }
    shared = {
        "plain": "",
        "float64": "--dtype float64 --optimizer momentum",
        "batch-norm": "--batch-norm --dtype float64",
        "batch-norm/rank": "--batch-norm --batch-stats rank --dtype float64",
        "layers": "--dropout 0.2 --input-noise 0.1 --augment shift=1 --dtype float64",
        "patience": "--patience 1 --epochs 4 --lr 0.3",
        "compare": "--optimizer sgd adam",
        "find-lr": "--find-lr",
    }
    for name, words in shared.items():
        found[f"ranks/{name}"] = (Line(usual(f"--parallel mpi {words}"), ranks=2),)
    found["ranks/resume"] = (
        Line(usual("--parallel mpi --dropout 0.1 --dtype float64"), ranks=2),
        Line("--parallel mpi --resume run --epochs 2 --quiet", ranks=2),
    )
    return found


WRONG = (
    *("--nonsense", "--epochs 0", "--epochs many", "--hidden 0", "--hidden 1,x", "--lr 0"),
    *("--lr nan", "--seed -1", "--optimizer adm", "--activation rel", "--initializer foo"),
    *("--loss hinge", "--schedule zigzag", "--dtype float16", "--dropout 1", "--dropout=-0.1"),
    *("--noise=-1", "--input-dropout 2", "--max-norm 0", "--label-smoothing 1", "--l2=-1"),
    *("--val-split 1", "--batch-size 0", "--patience 0", "--monitor loss", "--warmup 1"),
    *("--ema 1", "--clip-norm 0", "--clip-value=-1", "--weight-decay=-1", "--set lr=1"),
    *("--set nothing=1", "--set momentum", "--schedule-set end=2", "--schedule-set warmup=0.1"),
    *("--schedule plateau --val-split 0", "--patience 2 --val-split 0", "--train-samples 0"),
    *("--train-samples 99999", "--dataset nowhere.npz", "--dataset nothing", "--dataset mnist"),
    *("--class-weight 1,2", "--class-weight heavy", "--batch-norm --layer-norm", "--threads 0"),
    *("--hidden 8,8 --dropout 0.1,0.1,0.1", "--hidden 8,8 --activation relu,tanh,relu"),
    *("--augment shift=100", "--augment blur=1", "--augment shift=1,shift=2", "--standardize no"),
    *("--epochs 1 --epochs 2", "--lr 1e30 --optimizer sgd", "--loss softmax --start=1,1"),
    *("--steps 3", "--surface hill", "--surface booth --start=1", "--surface booth --find-lr"),
    *("--surface booth --steps 0", "--seeds 0", "--jobs 0", "--lr-grid 0,1", "--lr-grid 1,1"),
    *("--loss mean-squared-error --label-smoothing 0.1", "--config nowhere.toml", "--resume ''"),
    *("--hidden 999999999999", "--target 2", "--remeasure 1 --batch-norm", "--remeasure=-1"),
    *("--optimizer lbfgs --find-lr", "--optimizer sam --set inner=foo", "--parallel threads"),
    *("--batch-stats some", "--save-every 0", "--gamma --no-gamma", "--out ''"),
)
"""Lines that are refused, or that end in an error."""
HARMLESS = (
    *("--help", "--version", "--dry-run", "--dry-run --batch-norm --json", "--verbose"),
    *("--dry-run --optimizer sgd adam", "--dry-run --surface booth --optimizer sgd"),
    *("--dry-run --find-lr", "--hidden none --dropout 0.2", "--no-gamma", "--jobs 3", "--lr 1e-9"),
    *("--optimizer ADAM", "--class-weight none --max-norm none --ema none --standardize none"),
)


def commands() -> dict[str, tuple[Line, ...]]:
    """Every entry of the command line by name."""
    return {
        **singles(),
        **resumed(),
        **comparisons(),
        **others(),
        **{f"wrong/{words}": (Line(usual(words)),) for words in WRONG},
        **{f"harmless/{words}": (Line(usual(words)),) for words in HARMLESS},
    }

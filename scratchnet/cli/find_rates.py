"""The learning-rate finder of the command line: a test for each optimizer, curve, files, page."""

from scratchnet.cli.folder import describe_asked, open_folder, stem
from scratchnet.cli.interrupts import Interrupts
from scratchnet.cli.parser import command
from scratchnet.cli.setup import Setup
from scratchnet.inspection.lr_finder import RangeTest, find_lr, plan_rates
from scratchnet.report.finder import finder_page
from scratchnet.runs import RangeFolder


def find_rates(setup: Setup) -> None:
    """Test rates on the training samples, print and write what came out; raises ScratchnetError."""
    options, dataset, console = setup.options, setup.dataset, setup.console
    for optimizer in setup.optimizers.values():
        plan_rates(optimizer)  # refuses one that has no rate to find
    console.header(dataset, setup.trainer, setup.network, setup.optimizers.values())
    if options.dry_run:
        console.plan()
        return
    found: dict[str, RangeTest] = {}
    with Interrupts().end_at_once():
        for name, optimizer in setup.optimizers.items():
            found[name] = find_lr(
                setup.network,
                setup.trainer.train,
                optimizer,
                batch_size=options.batch_size,
                seed=options.seed,
                threads=setup.trainer.threads,
                augment=setup.trainer.augment,
            )
            console.rates(name, found[name])
    results = {
        "dataset": dataset.name,
        "seed": options.seed,
        "suggestions": {name: each.suggestion for name, each in found.items()},
        "steps": {name: len(each.rates) for name, each in found.items()},
    }
    folder = RangeFolder(options.out, f"{stem(dataset.name)}-rates")
    config = describe_asked(options, setup.optimizers, dataset, setup.network)
    with open_folder(folder, options, console, config) as opened:
        folder.history.add(
            {"optimizer": name, "lr": lr, "loss": loss, "smoothed": smoothed}
            for name, each in found.items()
            for lr, loss, smoothed in zip(each.rates, each.losses, each.smoothed, strict=True)
        )
        summary = setup.network.summary()
        shown = opened.finish(
            results, lambda: finder_page(found, results, config, command(options), summary)
        )
    console.written(results, str(shown))

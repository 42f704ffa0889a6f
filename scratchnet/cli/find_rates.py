"""The learning-rate finder of the command line: a test for each optimizer, curve, files, page."""

import argparse
from collections.abc import Mapping

from scratchnet.cli.arguments import command
from scratchnet.cli.interrupts import Interrupts
from scratchnet.cli.screen import Screen
from scratchnet.cli.train import describe_asked, stem, write_report
from scratchnet.data import Dataset
from scratchnet.inspection.lr_finder import RangeTest, find_lr, plan_rates
from scratchnet.networks import MultiLayerNet
from scratchnet.optimizers import Optimizer
from scratchnet.report.finder import finder_page
from scratchnet.runs import RangeFolder
from scratchnet.training import Trainer


def find_rates(
    arguments: argparse.Namespace,
    dataset: Dataset,
    network: MultiLayerNet,
    optimizers: Mapping[str, Optimizer],
    trainer: Trainer,
    screen: Screen,
) -> None:
    """Test rates on the training samples, print and write what came out; raises ScratchnetError."""
    for optimizer in optimizers.values():
        plan_rates(optimizer)  # refuses one that has no rate to find
    screen.header(dataset, trainer, network, optimizers.values())
    if arguments.dry_run:
        screen.plan()
        return
    found: dict[str, RangeTest] = {}
    with Interrupts().end_at_once():
        for name, optimizer in optimizers.items():
            found[name] = find_lr(
                network,
                trainer.train,
                optimizer,
                batch_size=arguments.batch_size,
                seed=arguments.seed,
                threads=trainer.threads,
                augment=trainer.augment,
            )
            screen.rates(name, found[name])
    results = {
        "dataset": dataset.name,
        "seed": arguments.seed,
        "suggestions": {name: each.suggestion for name, each in found.items()},
        "steps": {name: len(each.rates) for name, each in found.items()},
    }
    folder = RangeFolder(arguments.out, f"{stem(dataset.name)}-rates")
    try:
        config = describe_asked(arguments, optimizers, dataset, network)
        folder.write_config(config)
        folder.history.add(
            {"optimizer": name, "lr": lr, "loss": loss, "smoothed": smoothed}
            for name, each in found.items()
            for lr, loss, smoothed in zip(each.rates, each.losses, each.smoothed, strict=True)
        )
        folder.write_results(results)
        shown = write_report(
            folder,
            lambda: finder_page(found, results, config, command(arguments), network.summary()),
            arguments,
            screen,
        )
    finally:
        folder.close()
    screen.written(results, str(shown))

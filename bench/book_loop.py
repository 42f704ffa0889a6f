"""The book's loop as it is typed there, with every optimizer that it names: `--dataset mnist`."""

import argparse

import numpy as np

from scratchnet import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop, TwoLayerNet, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    train, test = load(arguments.dataset, home=arguments.data_dir)
    x_test, t_test = test[:]
    print(f"{arguments.dataset}, {arguments.steps:,} batches of 100, default rates:\n")
    print("| optimizer | test accuracy |\n|---|---:|")
    for optimizer_class in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam):
        rng = np.random.default_rng(0)
        network = TwoLayerNet(train.x.shape[1], 100, 10)
        optimizer = optimizer_class()
        for _ in range(arguments.steps):
            x_batch, t_batch = train[rng.choice(len(train), 100)]
            grads = network.gradient(x_batch, t_batch)
            params = network.params
            optimizer.update(params, grads)
        accuracy = network.accuracy(x_test, t_test)
        print(f"| {optimizer_class.__name__} | {accuracy:.4f} |", flush=True)


if __name__ == "__main__":
    main()

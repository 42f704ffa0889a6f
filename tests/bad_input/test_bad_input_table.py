"""Every row of the project's table of bad inputs has a test, or a reason not to have one."""

from test_bad_arguments import COMMANDS
from test_bad_calls import CALLS
from test_bad_checkpoints import BROKEN
from test_bad_files import FILES

ELSEWHERE = {
    2: "test_bad_arguments.py: test_what_is_fine_is_accepted",
    22: "test_cli_output.py: the reader of a pipe that goes away",
    23: "test_cli_output.py: no terminal, a dumb one, a narrow one",
    37: "test_estimator.py: one class, by scikit-learn's check classifiers_one_label",
    38: "test_estimator.py: labels of other kinds; here in row 29 for a network",
    39: "test_estimator.py: weights that cannot be",
    40: "test_estimator.py: predict before fit, other columns; here in row 40 for a network",
    41: "test_estimator.py: other column names",
    42: "test_estimator.py: partial_fit with an unseen class or without classes",
    61: "test_download.py: the network; nothing is fetched from OpenML",
    78: "test_mpi.py: no mpi4py, no MPI, too many ranks, other data or arguments on one of them",
}


HERE = {4, 15, 27, 30, 44, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 79, 80}  # by tests of their own


def test_every_row_of_the_table_is_here_or_has_a_reason_not_to_be():
    covered = {row.number for row in COMMANDS + FILES} | {row[0] for row in CALLS} | HERE
    covered |= {row[0] for row in BROKEN}
    assert covered | set(ELSEWHERE) == set(range(1, 81))
    assert not {number for number in ELSEWHERE if number in covered} - {40}

"""Who is told of each attempt of a step and each end of a saga: the log, metrics, traces, task
events. None of them by default.

They are told in the thread that runs the step, so they must be quick. What they raise is logged.
"""

from saga.engine.attempt.work import Ended, Outcome, Work


class Watcher:
    """Takes no notice of anything; subclasses do.

    `at`: by the database's clock, epoch seconds. `seconds`: how long the user's function took, with
    its probe if that was asked.
    """

    def started(self, work: Work, at: float) -> None:
        """A lease was taken; the function is about to be called, in this thread."""

    def ended(self, work: Work, outcome: Outcome, seconds: float) -> None:
        """The attempt is over; its outcome is about to be recorded. Of each that was started."""

    def saga_ended(self, saga: Ended) -> None:
        """A saga has ended here, perhaps not for the first time. All threads wait meanwhile."""

    def lease_lost(self) -> None:
        """This process was taken for dead: what it has in hand is anyone's."""

    def stopped(self) -> None:
        """The process ends."""

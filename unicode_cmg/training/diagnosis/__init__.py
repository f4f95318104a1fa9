"""Whether a run goes well: findings, each with what was found and what to try, and a verdict."""

from unicode_cmg.training.diagnosis.verdict import VERDICT, Finding, Verdict, read_verdict
from unicode_cmg.training.diagnosis.watch import Callback

__all__ = ["VERDICT", "Callback", "Finding", "Verdict", "read_verdict"]

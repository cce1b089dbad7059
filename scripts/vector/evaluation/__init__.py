"""Judged questions, asked of a space: how good its answers are, and whether they let it be published."""

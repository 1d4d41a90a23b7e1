"""How a table of times becomes the inputs of a forecast.

A registered forecast carries a copy of this file, so it imports nothing of the project.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ForecastTable:
    """The columns of a table with one row per time, and how they are scaled.

    Attributes:
        targets: Columns that are forecast; they stay in their units.
        past: Columns whose values before the forecast are inputs, also targets.
        known: Columns that are known in advance, such as the calendar.
        window: Number of times before the forecast.
        horizon: Number of times that are forecast.
        values: Values of each column of categories, by column; each becomes a column of 0 and 1.
        means: Mean of each column of numbers over the training rows.
        deviations: Standard deviation of each column of numbers over the training rows.
    """

    targets: tuple[str, ...]
    past: tuple[str, ...]
    known: tuple[str, ...] = ()
    window: int = 1
    horizon: int = 1
    values: dict[str, list[Any]] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        table: pd.DataFrame,
        *,
        targets: list[str],
        past: list[str],
        known: list[str] | tuple[str, ...] = (),
        window: int,
        horizon: int = 1,
    ) -> "ForecastTable":
        """Learns the categories and the scale of each column from the training rows.

        Args:
            table: Training rows. Columns of texts and truth values are categories.
            targets: Columns that are forecast.
            past: Columns whose past is an input.
            known: Columns that are known in advance.
            window: Number of times before the forecast.
            horizon: Number of times that are forecast.

        Raises:
            ValueError: A column has dates, or categories of which one is missing.
        """
        values: dict[str, list[Any]] = {}
        means, deviations = {}, {}
        for name in dict.fromkeys([*past, *known]):
            column = table[name]
            if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
                means[name] = float(column.mean())
                deviation = float(column.std(ddof=0))
                # A constant column has a deviation of rounding errors.
                is_constant = deviation <= 1e-12 * max(abs(means[name]), 1.0)
                deviations[name] = 1.0 if is_constant else deviation
            elif column.isna().any() or pd.api.types.is_datetime64_any_dtype(column):
                problem = "has missing values" if column.isna().any() else "has dates"
                raise ValueError(
                    f"the column {name!r} {problem}; fill them, or make numbers or texts of them"
                )
            else:
                values[name] = sorted(column.unique().tolist())
        return cls(
            targets=tuple(targets),
            past=tuple(past),
            known=tuple(known),
            window=window,
            horizon=horizon,
            values=values,
            means=means,
            deviations=deviations,
        )

    def encode(self, table: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
        """Returns columns as numbers, of shape (times, numbers)."""
        parts = [np.zeros((len(table), 0))]
        for name in columns:
            values = table[name].to_numpy()
            if name in self.values:
                parts.append((values[:, None] == np.array(self.values[name])[None]).astype(float))
            else:
                scaled = (values.astype(float) - self.means[name]) / self.deviations[name]
                parts.append(scaled[:, None])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def latest(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """Returns the inputs of the forecast after the last time whose targets are known.

        Args:
            table: At least ``window`` rows in the order of time. With ``known``, ``horizon`` rows
                follow in which the targets are empty.

        Returns:
            ``past`` of shape (1, window, numbers) and, if there are such columns, ``known`` of
            shape (1, horizon, numbers).

        Raises:
            ValueError: Rows or values are missing; the message says which.
        """
        ahead = int(table[list(self.targets)].isna().all(axis=1)[::-1].cummin().sum())
        history = table.iloc[: len(table) - ahead]
        if len(history) < self.window:
            raise ValueError(
                f"the forecast needs {self.window} rows before it; got {len(history)}"
            )
        if self.known and ahead < self.horizon:
            raise ValueError(
                f"after the {self.window} rows, {self.horizon} rows must follow with empty "
                f"{', '.join(self.targets)} and with {', '.join(self.known)}, which are known in "
                f"advance; got {ahead}"
            )
        past = history.tail(self.window)
        future = table.iloc[len(history) : len(history) + self.horizon]
        for rows, names in ((past, self.past), (future, self.known)):
            for name in names:
                self._check(rows, name)
        inputs = {"past": self.encode(past, self.past)[None]}
        if self.known:
            inputs["known"] = self.encode(future, self.known)[None]
        return inputs

    def _check(self, rows: pd.DataFrame, name: str) -> None:
        bad = rows.index[rows[name].isna()]
        if name in self.values:
            bad = rows.index[~rows[name].isin(self.values[name])]
        if len(bad):
            wanted = f"one of {self.values[name]}" if name in self.values else "a number"
            raise ValueError(
                f"row {bad[0] + 1}: {name!r} must be {wanted}; got {rows[name][bad[0]]!r}"
            )

    def to_json(self) -> str:
        """Returns the attributes as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ForecastTable":
        """Reads what ``to_json`` has written."""
        attributes = json.loads(text)
        for name in ("targets", "past", "known"):
            attributes[name] = tuple(attributes[name])
        return cls(**attributes)

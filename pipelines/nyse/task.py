"""The task: log trading volume of the next day, from the days before."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.nyse import data, model
from tuning.core.forms import ServedModel
from tuning.core.task import DataInfo, Split
from tuning.data.cuts import Cut

if TYPE_CHECKING:
    import keras
    import numpy as np

    from tuning.data.forecast_table import ForecastTable

_USE = "To forecast the trading volume of the next day, relative to that of the last 100 days."
_LIMITS = (
    "It was trained on the days until 1979 and judged on those until 1986.",
    "It knows neither news nor holidays.",
)


class NyseTask:
    """Forecasts of the trading volume; ``window`` and ``day_of_week`` change the data."""

    def prepare(self) -> DataInfo:
        """Checks the file and describes it."""
        data.trading_days()
        parts = ("train", "validation", "test")
        return DataInfo(
            label="nyse",
            name="New York Stock Exchange, daily volume 1962 to 1986",
            source=str(data.FILE.name),
            digest=data.DIGEST,
            test_digest=data.DIGEST,
            sizes={part: len(data.targets_of(part)) for part in parts},
        )

    def load(
        self, split: Split, params: Mapping[str, Any], cut: Cut | None = None
    ) -> dict[str, Any]:
        """Returns windows of days and the volume of the day after; scaled by the training days."""
        positions = self._positions(cut)
        names = ("test",) if split == "test" else ("train", "validation")
        return {name: self._examples(positions[name], params, cut) for name in names}

    def build(self, params: Mapping[str, Any]) -> "keras.Model":
        """Builds and compiles the model of a trial."""
        form = self._form(params, None)
        days = data.trading_days().head(1)
        past, known = (form.encode(days, names).shape[1] for names in (form.past, form.known))
        return model.build(params, past, known)

    def times(self, part: str) -> "np.ndarray":
        """Returns the dates of the days that are forecast."""
        dates: np.ndarray = data.trading_days()["date"].to_numpy()[data.targets_of(part)]
        return dates

    def yardsticks(self) -> "Mapping[str, np.ndarray]":
        """Returns forecasts of yesterday's value, of linear models and of boosted trees."""
        from pipelines.nyse.yardsticks import yardsticks

        return yardsticks()

    def serve(
        self, model_file: Path, folder: Path, params: Mapping[str, Any], cut: Cut | None
    ) -> ServedModel:
        """Packs the model with its columns and their scale."""
        from tuning.registry.forecasts import served_forecast

        form = self._form(params, cut)
        example = data.trading_days().tail(form.window + bool(form.known)).copy()
        if form.known:
            example.loc[example.index[-1], [*data.NUMBERS]] = float("nan")
        return served_forecast(
            form, model_file, folder, example=example, intended_use=_USE, limits=_LIMITS
        )

    def _positions(self, cut: Cut | None) -> "dict[str, np.ndarray]":
        names = ("train", "validation", "test")
        positions = {name: data.targets_of(name) for name in names}
        if cut is not None:
            pool = data.targets_of("search")
            rows = cut.rows(len(pool), data.VALIDATION, times=pool)
            positions |= {name: pool[each] for name, each in zip(names[:2], rows, strict=True)}
        return positions

    def _form(self, params: Mapping[str, Any], cut: Cut | None) -> "ForecastTable":
        from tuning.data.forecast_table import ForecastTable

        day = [data.DAY] if params["day_of_week"] else []
        return ForecastTable.fit(
            data.trading_days().iloc[self._positions(cut)["train"]],
            targets=[data.TARGET],
            past=[*data.NUMBERS, *day],
            known=day,
            window=params["window"],
        )

    def _examples(
        self, positions: "np.ndarray", params: Mapping[str, Any], cut: Cut | None
    ) -> tuple[Any, Any]:
        from tuning.data.windows import table_windows

        form = self._form(params, cut)
        made = table_windows(form, data.trading_days(), begin=data.MOST_DAYS)
        chosen = positions - data.MOST_DAYS
        x, y = made.x[chosen], made.y[chosen, 0]
        return (x if made.known is None else {"past": x, "known": made.known[chosen]}), y

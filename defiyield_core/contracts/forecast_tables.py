"""Forecast tables: what was expected, by which model, and what came of it."""

from __future__ import annotations

from defiyield_core.contracts.schema import Table, columns

FORECAST_TABLES = (
    Table(
        name="pool_forecasts",
        layer="forecast",
        doc="Forecasts of pools made at the end of a day. 10 % of outcomes fall below the bounds, 10 % above them.",
        key=("date", "pool_id", "model", "horizon_days"),
        columns=columns("""
            date date - | day at whose end the forecast was made
            pool_id text - | DefiLlama's pool id
            model text - | forecaster
            horizon_days bigint[1,] days | length of the horizon
            apy double[-1,] fraction | mean APY over the horizon
            tvl_usd double[0,] USD | TVL at the end of the horizon
            observed_age_days bigint[0,] days | age of the newest observation behind it
            apy_lower double[-1,]? fraction | lower bound of the mean APY
            apy_upper double[-1,]? fraction | upper bound of the mean APY
            risk_adjusted_apy double[-1,]? fraction | mean APY blended with its lower bound
            apy_at double[-1,]? fraction | APY on the last day of the horizon
            apy_at_lower double[-1,]? fraction | its lower bound
            apy_at_upper double[-1,]? fraction | its upper bound
            tvl_lower_usd double[0,]? USD | lower bound of the TVL
            tvl_upper_usd double[0,]? USD | upper bound of the TVL
            made_at timestamp? - | moment of a live forecast, UTC (null: replayed); not scored from date + 2 days on
        """),
    ),
    Table(
        name="gas_forecasts",
        layer="forecast",
        doc="Gas forecasts made at the end of a day.",
        key=("date", "model", "horizon_days"),
        columns=columns("""
            date date - | day at whose end the forecast was made
            model text - | forecaster
            horizon_days bigint[1,] days | length of the horizon
            gas_price_gwei double[0,] gwei | mean base fee plus tip over the horizon
            eth_usd double[0,] USD | price of ETH at the moment of the forecast
            lower_gwei double[0,]? gwei | lower bound of 80 %
            upper_gwei double[0,]? gwei | upper bound of 80 %
            made_at timestamp? - | moment of a live forecast, UTC (null: replayed); not scored from date + 2 days on
        """),
    ),
    Table(
        name="gas_hour_forecasts",
        layer="forecast",
        doc="Gas expected in each hour of the next day, forecast at the end of a day.",
        key=("date", "model", "hour_utc"),
        columns=columns("""
            date date - | day at whose end the forecast was made; the hours are of the day after it
            model text - | forecaster
            hour_utc bigint[0,23] - | hour of the day, UTC
            gas_price_gwei double[0,] gwei | base fee plus tip in that hour
            lower_gwei double[0,]? gwei | lower bound of 80 %
            upper_gwei double[0,]? gwei | upper bound of 80 %
            made_at timestamp? - | moment of a live forecast, UTC (null: replayed)
        """),
    ),
    Table(
        name="forecast_models",
        layer="forecast",
        doc="The trained models that a day's forecasts come from.",
        key=("date", "model", "point", "horizon_days"),
        columns=columns("""
            date date - | day at whose end the model was used
            model text - | forecaster
            point text - | what it forecasts: apy (mean over the horizon) or apy_at (last day)
            horizon_days bigint[1,] days | length of the horizon
            version text - | version of the model's code
            trained_from date - | first day that it learnt from
            trained_through date - | last day whose observations it has seen
            fingerprint text - | SHA-256 of the training data, features and settings
            training_rows bigint[0,] - | pairs of pool and day that it learnt from
            in_sample_error double[0,]? - | mean absolute error on its own rows, in the pools' daily movements
            smooth_level_error double[0,]? - | the same of the smooth level that it starts from
            observed_through date? - | newest day up to trained_through on which any APY was observed
        """),
    ),
    Table(
        name="forecast_scores",
        layer="forecast",
        doc="Every forecast whose day has come, beside what came. Forecasts are read as they were stored at the time.",
        key=("date", "target", "pool_id", "model", "horizon_days"),
        columns=columns("""
            date date - | day on which the outcome was known: origin plus horizon
            target text - | apy (on the day), mean_apy (over the horizon), tvl, or gas (mean over the horizon)
            pool_id text - | DefiLlama's pool id, or gas
            model text - | forecaster
            horizon_days bigint[1,] days | length of the horizon
            origin date - | day at whose end the forecast was made
            forecast double - | the point, in the unit of the target
            lower double? - | lower bound of 80 %
            upper double? - | upper bound of 80 %
            actual double - | what came
            naive_scale double[0,]? - | mean absolute change of a day up to the origin
        """),
    ),
    Table(
        name="forecast_scorecard",
        layer="forecast",
        doc="How good each model's forecasts of the last 182 days turned out, against persistence on the same pairs.",
        key=("date", "target", "model", "horizon_days"),
        columns=columns("""
            date date - | last day of outcomes
            target text - | apy, mean_apy, tvl or gas
            model text - | forecaster
            horizon_days bigint[1,] days | length of the horizon
            pairs bigint[0,] - | scored pairs of pool and day
            pools bigint[0,] - | pools among them
            mae double[0,]? - | mean absolute error, in the unit of the target
            relative_mae double[0,]? - | median over pools of the error over that of persistence
            skill double? - | 1 - total error over that of persistence
            skill_low double? - | lower end of its 95 % bootstrap interval over pools and weeks
            skill_high double? - | upper end
            mase double[0,]? - | error over the mean absolute change of a day
            coverage double[0,1]? fraction | outcomes inside the bounds
            recent_coverage double[0,1]? fraction | the same over the newest 28 days
            recent_relative_mae double[0,]? - | total error over that of persistence, newest 28 days
            width double[0,]? - | mean distance of the bounds, in the unit of the target
        """),
    ),
)

-- Forecasts with bounds, gas by the hour, trained models, and what came of every forecast.

alter table pool_forecasts add column apy_lower double precision check (apy_lower >= -1);  -- lower bound of the mean APY [fraction]
alter table pool_forecasts add column apy_upper double precision check (apy_upper >= -1);  -- upper bound of the mean APY [fraction]
alter table pool_forecasts add column risk_adjusted_apy double precision check (risk_adjusted_apy >= -1);  -- mean APY blended with its lower bound [fraction]
alter table pool_forecasts add column apy_at double precision check (apy_at >= -1);  -- APY on the last day of the horizon [fraction]
alter table pool_forecasts add column apy_at_lower double precision check (apy_at_lower >= -1);  -- its lower bound [fraction]
alter table pool_forecasts add column apy_at_upper double precision check (apy_at_upper >= -1);  -- its upper bound [fraction]
alter table pool_forecasts add column tvl_lower_usd double precision check (tvl_lower_usd >= 0);  -- lower bound of the TVL [USD]
alter table pool_forecasts add column tvl_upper_usd double precision check (tvl_upper_usd >= 0);  -- upper bound of the TVL [USD]

alter table gas_forecasts add column lower_gwei double precision check (lower_gwei >= 0);  -- lower bound of 80 % [gwei]
alter table gas_forecasts add column upper_gwei double precision check (upper_gwei >= 0);  -- upper bound of 80 % [gwei]

-- Gas expected in each hour of the next day, forecast at the end of a day.
create table gas_hour_forecasts (
    date date not null,  -- day at whose end the forecast was made; the hours are of the day after it
    model text collate "C" not null,  -- forecaster
    hour_utc bigint not null check (hour_utc >= 0 and hour_utc <= 23),  -- hour of the day, UTC
    gas_price_gwei double precision not null check (gas_price_gwei >= 0),  -- base fee plus tip in that hour [gwei]
    lower_gwei double precision check (lower_gwei >= 0),  -- lower bound of 80 % [gwei]
    upper_gwei double precision check (upper_gwei >= 0),  -- upper bound of 80 % [gwei]
    primary key (date, model, hour_utc)
);

-- The trained models that a day's forecasts come from.
create table forecast_models (
    date date not null,  -- day at whose end the model was used
    model text collate "C" not null,  -- forecaster
    point text collate "C" not null,  -- what it forecasts: apy (mean over the horizon) or apy_at (last day)
    horizon_days bigint not null check (horizon_days >= 1),  -- length of the horizon [days]
    version text collate "C" not null,  -- version of the model's code
    trained_from date not null,  -- first day that it learnt from
    trained_through date not null,  -- last day whose observations it has seen
    fingerprint text collate "C" not null,  -- SHA-256 of the training data, features and settings
    training_rows bigint not null check (training_rows >= 0),  -- pairs of pool and day that it learnt from
    in_sample_error double precision check (in_sample_error >= 0),  -- mean absolute error on its own rows, in the pools' daily movements
    smooth_level_error double precision check (smooth_level_error >= 0),  -- the same of the smooth level that it starts from
    primary key (date, model, point, horizon_days)
);

-- Every forecast whose day has come, beside what came. Forecasts are read as they were stored at the time.
create table forecast_scores (
    date date not null,  -- day on which the outcome was known: origin plus horizon
    target text collate "C" not null,  -- apy (on the day), mean_apy (over the horizon), tvl, or gas (mean over the horizon)
    pool_id text collate "C" not null,  -- DefiLlama's pool id, or gas
    model text collate "C" not null,  -- forecaster
    horizon_days bigint not null check (horizon_days >= 1),  -- length of the horizon [days]
    origin date not null,  -- day at whose end the forecast was made
    forecast double precision not null,  -- the point, in the unit of the target
    lower double precision,  -- lower bound of 80 %
    upper double precision,  -- upper bound of 80 %
    actual double precision not null,  -- what came
    naive_scale double precision check (naive_scale >= 0),  -- mean absolute change of a day up to the origin
    primary key (date, target, pool_id, model, horizon_days)
);

-- How good each model's forecasts of the last 182 days turned out, against persistence on the same pairs.
create table forecast_scorecard (
    date date not null,  -- last day of outcomes
    target text collate "C" not null,  -- apy, mean_apy, tvl or gas
    model text collate "C" not null,  -- forecaster
    horizon_days bigint not null check (horizon_days >= 1),  -- length of the horizon [days]
    pairs bigint not null check (pairs >= 0),  -- scored pairs of pool and day
    pools bigint not null check (pools >= 0),  -- pools among them
    mae double precision check (mae >= 0),  -- mean absolute error, in the unit of the target
    relative_mae double precision check (relative_mae >= 0),  -- median over pools of the error over that of persistence
    skill double precision,  -- 1 - total error over that of persistence
    skill_low double precision,  -- lower end of its 95 % bootstrap interval over pools and weeks
    skill_high double precision,  -- upper end
    mase double precision check (mase >= 0),  -- error over the mean absolute change of a day
    coverage double precision check (coverage >= 0 and coverage <= 1),  -- outcomes inside the bounds [fraction]
    recent_coverage double precision check (recent_coverage >= 0 and recent_coverage <= 1),  -- the same over the newest 28 days [fraction]
    recent_relative_mae double precision check (recent_relative_mae >= 0),  -- total error over that of persistence, newest 28 days
    width double precision check (width >= 0),  -- mean distance of the bounds, in the unit of the target
    primary key (date, target, model, horizon_days)
);

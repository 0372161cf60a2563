-- When a live forecast was made, and the newest observation behind a trained model.

alter table pool_forecasts add column made_at timestamp;  -- moment of a live forecast, UTC (null: replayed); not scored from date + 2 days on
alter table gas_forecasts add column made_at timestamp;  -- moment of a live forecast, UTC (null: replayed); not scored from date + 2 days on
alter table gas_hour_forecasts add column made_at timestamp;  -- moment of a live forecast, UTC (null: replayed)

alter table forecast_models add column observed_through date;  -- newest day up to trained_through on which any APY was observed

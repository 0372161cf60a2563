select
    date,
    target,
    pool_id,
    model,
    horizon_days,
    origin,
    forecast,
    lower,
    upper,
    actual,
    naive_scale,
    forecast - actual as error
from {{ source('defiyield', 'forecast_scores') }}

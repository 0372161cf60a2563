select
    date,
    target,
    model,
    horizon_days,
    pairs,
    pools,
    mae,
    relative_mae,
    skill,
    skill_low,
    skill_high,
    mase,
    coverage,
    recent_coverage,
    recent_relative_mae,
    width
from {{ source('defiyield', 'forecast_scorecard') }}

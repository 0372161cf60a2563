-- One row per target, horizon and model, from its newest card.
with newest as (
    select target, model, horizon_days, max(date) as date
    from {{ ref('stg_forecast_scorecard') }}
    group by target, model, horizon_days
)

select
    cards.target,
    cards.horizon_days,
    cards.model,
    cards.date,
    cards.date = (select max(date) from newest) as is_current,
    cards.pairs,
    cards.pools,
    cards.mae,
    cards.relative_mae,
    cards.skill,
    cards.skill_low,
    cards.skill_high,
    coalesce(cards.skill_low > 0, false) as beats_persistence,
    cards.mase,
    cards.coverage,
    cards.recent_coverage,
    cards.recent_relative_mae,
    cards.width
from newest
inner join {{ ref('stg_forecast_scorecard') }} as cards
    on
        newest.target = cards.target
        and newest.model = cards.model
        and newest.horizon_days = cards.horizon_days
        and newest.date = cards.date

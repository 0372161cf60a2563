-- One row per ruleset in force and pool, from the pool's latest day.
with latest as (
    select pool_id, max(date) as date
    from {{ ref('stg_pool_daily_metrics') }}
    group by pool_id
),

newest as (
    select max(date) as date from latest
),

latest_facts as (
    select pool_id, max(date) as date
    from {{ ref('stg_pools') }}
    group by pool_id
),

rulesets as (
    select distinct ruleset
    from {{ ref('stg_eligible_pools') }}
    where date = (select max(date) from {{ ref('stg_eligible_pools') }})
),

forecasts as (
    select date, pool_id, apy, tvl_usd
    from {{ ref('stg_pool_forecasts') }}
    where
        model = '{{ var("leaderboard_forecaster") }}'
        and horizon_days = {{ var("leaderboard_horizon_days") }}
),

pools as (
    select
        metrics.*,
        newest.date = metrics.date as is_current,
        facts.chain,
        facts.protocol,
        facts.symbol,
        facts.pool_meta,
        risk.pool_group,
        forecasts.apy as apy_forecast,
        forecasts.tvl_usd as tvl_forecast_usd,
        forecasts.apy - metrics.apy_std_30d as risk_aware_apy
    from latest
    inner join {{ ref('stg_pool_daily_metrics') }} as metrics
        on latest.pool_id = metrics.pool_id and latest.date = metrics.date
    cross join newest
    inner join latest_facts on latest.pool_id = latest_facts.pool_id
    inner join {{ ref('stg_pools') }} as facts
        on latest_facts.pool_id = facts.pool_id and latest_facts.date = facts.date
    left join {{ ref('stg_pool_groups') }} as risk on latest.pool_id = risk.pool_id and latest.date = risk.date
    left join forecasts on latest.pool_id = forecasts.pool_id and latest.date = forecasts.date
)

select
    coalesce(rulesets.ruleset, 'none') as ruleset,
    -- Binary order of ids: it does not depend on the database's language.
    row_number() over (
        partition by rulesets.ruleset
        order by
            pools.is_current desc,
            pools.risk_aware_apy desc nulls last,
            pools.tvl_usd_filled desc nulls last,
            pools.pool_id collate "C"
    ) as risk_rank,
    pools.pool_id,
    pools.date,
    pools.is_current,
    pools.chain,
    pools.protocol,
    pools.symbol,
    pools.pool_meta,
    pools.pool_group,
    pools.apy_filled as apy,
    pools.apy_mean_7d,
    pools.apy_mean_30d,
    pools.apy_std_7d,
    pools.apy_std_30d,
    pools.tvl_usd_filled as tvl_usd,
    pools.apy_forecast,
    pools.tvl_forecast_usd,
    pools.risk_aware_apy,
    coalesce(pools.is_current and judged.depositable, false) as is_eligible,
    coalesce(judged.must_exit, false) as must_exit,
    case
        when not pools.is_current then 'no row on the newest day'
        else coalesce(judged.reasons, 'not judged')
    end as reasons,
    pools.is_flagged,
    pools.age_days
from pools
left join rulesets on true
left join {{ ref('stg_eligible_pools') }} as judged
    on pools.pool_id = judged.pool_id and pools.date = judged.date and rulesets.ruleset = judged.ruleset

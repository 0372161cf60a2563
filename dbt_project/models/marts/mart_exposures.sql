-- One row per portfolio, day, dimension and member. Positions come from the allocations and idle tokens from the ledger,
-- so that the sum of a dimension meets the NAV from another side.
{% set lookback = var('pool_facts_lookback_days') -%}
with held as (
    select distinct pool_id, date
    from {{ ref('stg_asset_allocations') }}
),

{% for facts, model in (('pool_days', 'stg_pools'), ('group_days', 'stg_pool_groups')) -%}
{{ facts }} as (
    select held.pool_id, held.date, max(known.date) as known_date
    from held
    inner join {{ ref(model) }} as known
        on
            held.pool_id = known.pool_id
            and held.date >= known.date
            and held.date - {{ lookback }} < known.date
    group by held.pool_id, held.date
),

{% endfor -%}
described as (
    select
        held.pool_id,
        held.date,
        coalesce(pools.protocol, 'unknown') as protocol,
        coalesce(pools.chain, 'unknown') as chain,
        coalesce('group ' || cast(risk.pool_group as varchar), 'unknown') as pool_group
    from held
    left join pool_days on held.pool_id = pool_days.pool_id and held.date = pool_days.date
    left join {{ ref('stg_pools') }} as pools
        on pool_days.pool_id = pools.pool_id and pool_days.known_date = pools.date
    left join group_days on held.pool_id = group_days.pool_id and held.date = group_days.date
    left join {{ ref('stg_pool_groups') }} as risk
        on group_days.pool_id = risk.pool_id and group_days.known_date = risk.date
),

holdings as (
    select
        positions.portfolio,
        positions.date,
        positions.token,
        described.protocol,
        described.chain,
        described.pool_group as risk_group,
        {{ exact('positions.value_usd') }} as value_usd
    from {{ ref('stg_asset_allocations') }} as positions
    inner join described on positions.pool_id = described.pool_id and positions.date = described.date
    union all
    select
        portfolio,
        date,
        token,
        'wallet' as protocol,
        'wallet' as chain,
        'wallet' as risk_group,
        {{ exact('wallet_usd') }} as value_usd
    from {{ ref('stg_daily_ledger') }}
),

exposures as (
    {% for dimension, member in (
        ('token', 'token'), ('protocol', 'protocol'), ('chain', 'chain'), ('group', 'risk_group')
    ) -%}
    {{ 'union all' if not loop.first }}
    select portfolio, date, '{{ dimension }}' as dimension, {{ member }} as member, sum(value_usd) as value_usd
    from holdings
    group by portfolio, date, {{ member }}
    {% endfor -%}
)

select
    exposures.portfolio,
    exposures.date,
    exposures.dimension,
    exposures.member,
    {{ as_double('exposures.value_usd') }} as value_usd,
    {{ as_double('exposures.value_usd') }} / nullif(days.aum_close_usd, 0) as share
from exposures
inner join {{ ref('stg_portfolio_daily') }} as days
    on exposures.portfolio = days.portfolio and exposures.date = days.date
where exposures.value_usd > 0

-- One row per portfolio and day. Growth is compounded as a sum of logarithms: SQL has no product, and such a sum in
-- decimals is exact in any order.
with days as (
    select
        *,
        case when aum_open_usd > 0 then aum_open_usd when flows_usd > 0 then flows_usd else 0 end as base_usd
    from {{ ref('stg_portfolio_daily') }}
),

returns as (
    select
        *,
        case when base_usd > 0 then (aum_close_usd - flows_usd - aum_open_usd) / base_usd else 0 end as net_return
    from days
),

logarithms as (
    select
        *,
        case when net_return > -1 then {{ exact('ln(1 + net_return)', 15) }} end as log_growth  -- null: all was lost
    from returns
),

summed as (
    select
        *,
        {{ as_double('sum(log_growth) over so_far') }} as log_so_far,
        max(case when log_growth is null then 1 else 0 end) over so_far as lost_everything,
        {% for days in (7, 30) -%}
        {{ as_double('sum(log_growth) over last_' ~ days) }} * 365 / {{ days }} as log_apy_{{ days }}d,
        count(log_growth) over last_{{ days }} = {{ days }}
            and min(date) over last_{{ days }} = date - {{ days - 1 }} as is_whole_{{ days }}d,
        {% endfor -%}
        {{ as_double('sum(' ~ exact('gas_usd') ~ ') over so_far') }} as cumulative_gas_usd,
        {{ as_double('sum(' ~ exact('conversion_usd') ~ ') over so_far') }} as cumulative_conversion_usd
    from logarithms
    window
        so_far as (partition by portfolio order by date rows between unbounded preceding and current row),
        last_7 as (partition by portfolio order by date rows between 6 preceding and current row),
        last_30 as (partition by portfolio order by date rows between 29 preceding and current row)
),

indexed as (
    select
        *,
        case when lost_everything = 1 then 0 else {{ as_double(exact('exp(log_so_far)', 12)) }} end as growth_index
    from summed
),

peaks as (
    select
        *,
        greatest(
            max(growth_index) over (
                partition by portfolio order by date rows between unbounded preceding and current row
            ),
            1
        ) as peak
    from indexed
)

select
    portfolio,
    date,
    status,
    aum_close_usd as nav_usd,
    accrual_usd,
    flows_usd,
    cost_usd,
    net_return,
    growth_index - 1 as net_growth,
    {% for days in (7, 30) -%}
    -- A rate beyond e^20 says nothing, and would not fit.
    case
        when is_whole_{{ days }}d and log_apy_{{ days }}d < 20
            then {{ as_double(exact('exp(log_apy_' ~ days ~ 'd) - 1', 12)) }}
    end as net_apy_{{ days }}d,
    {% endfor -%}
    growth_index / peak - 1 as drawdown,
    idle_usd / nullif(aum_close_usd, 0) as idle_share,
    cumulative_gas_usd,
    cumulative_conversion_usd,
    cumulative_gas_usd + cumulative_conversion_usd as cumulative_cost_usd
from peaks

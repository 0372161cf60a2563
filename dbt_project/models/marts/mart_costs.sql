-- One row per portfolio and calendar month.
with days as (
    select *, cast(date_trunc('month', cast(date as timestamp)) as date) as month
    from {{ ref('stg_portfolio_daily') }}
),

trades as (
    select portfolio, date, count(*) as transactions
    from {{ ref('stg_allocation_transactions') }}
    where type <> 'HOLD'
    group by portfolio, date
),

months as (
    select
        days.portfolio,
        days.month,
        count(*) as days,
        {{ exact_sum('days.gas_usd') }} as gas_usd,
        {{ exact_sum('days.conversion_usd') }} as conversion_usd,
        {{ exact_sum('days.accrual_usd') }} as accrual_usd,
        {{ exact_sum('days.aum_close_usd') }} / count(*) as mean_aum_usd,
        cast(coalesce(sum(trades.transactions), 0) as bigint) as transactions
    from days
    left join trades on days.portfolio = trades.portfolio and days.date = trades.date
    group by days.portfolio, days.month
)

select
    portfolio,
    month,
    days,
    gas_usd,
    conversion_usd,
    gas_usd + conversion_usd as cost_usd,
    accrual_usd,
    mean_aum_usd,
    (gas_usd + conversion_usd) / nullif(mean_aum_usd, 0) as cost_share_of_aum,
    case when accrual_usd > 0 then (gas_usd + conversion_usd) / accrual_usd end as cost_share_of_accrual,
    transactions
from months

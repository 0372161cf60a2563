{#-
  Accounting identities. Each returns the rows that break it, by more than a tolerance in USD (or in shares), or whose
  terms are missing.
-#}

{% test is_zero(model, expression, key, tolerance=0.000001) %}
    select {{ key | join(', ') }}, {{ expression }} as off
    from {{ model }}
    where coalesce(abs({{ expression }}) > {{ tolerance }}, true)
{% endtest %}

{% test opens_with_last_close(model, of, opening, closing, tolerance=0.000001) %}
    -- Every day of `of` opens with what the day before closed with, and no day between is missing.
    with days as (
        select
            {{ of }},
            date,
            {{ opening }} as opening,
            lag({{ closing }}) over (partition by {{ of }} order by date) as last_close,
            lag(date) over (partition by {{ of }} order by date) as last_date
        from {{ model }}
    )

    select {{ of }}, date, opening, last_close
    from days
    where last_date is not null and (last_date <> date - 1 or abs(opening - last_close) > {{ tolerance }})
{% endtest %}

{% test sums_to(model, key, value, total, parts=none, totals=none, dimension=none, members=none, tolerance=0.000001) %}
    -- Per key, and per member of `dimension` where one is given, `value` over the rows of `parts` adds up to `total` in
    -- `totals`. Either relation is the tested model unless another is named.
    {%- set keys = key + ([dimension] if dimension else []) %}
    with expected as (
        select
            {{ keys | join(', ') }},
            {{ total }} as total
        from {{ totals or model }}
        {%- if dimension %}
        cross join (
            {%- for member in members %}
            {{ 'union all ' if not loop.first }}select cast('{{ member }}' as varchar) as {{ dimension }}
            {%- endfor %}
        ) as dimensions
        {%- endif %}
    ),

    added as (
        select {{ keys | join(', ') }}, {{ exact_sum(value) }} as value
        from {{ parts or model }}
        group by {{ keys | join(', ') }}
    )

    select {{ keys | join(', ') }}, total, value
    from expected
    full join added using ({{ keys | join(', ') }})
    where coalesce(abs(coalesce(value, 0) - total) > {{ tolerance }}, true)
{% endtest %}

{% test cards_follow_scores(model, days=182) %}
    -- A card counts the scores of its days, and its error is their mean: added up here from the scores themselves.
    with added as (
        select
            cards.target,
            cards.model,
            cards.horizon_days,
            count(scores.error) as pairs,
            {{ as_double('sum(' ~ exact('abs(scores.error)', 12) ~ ')') }} / nullif(count(scores.error), 0) as mae
        from {{ model }} as cards
        left join {{ ref('stg_forecast_scores') }} as scores
            on
                cards.target = scores.target
                and cards.model = scores.model
                and cards.horizon_days = scores.horizon_days
                and scores.date <= cards.date
                and scores.date > cards.date - {{ days }}
        group by cards.target, cards.model, cards.horizon_days
    )

    select cards.target, cards.model, cards.horizon_days, cards.pairs, added.pairs as scored, cards.mae, added.mae as added
    from {{ model }} as cards
    inner join added
        on
            cards.target = added.target
            and cards.model = added.model
            and cards.horizon_days = added.horizon_days
    where
        cards.pairs <> added.pairs
        or coalesce(abs(cards.mae - added.mae) > 0.000000001 * (1 + added.mae), true)
{% endtest %}

{% test costs_follow_the_plan(model, tolerance=0.000001) %}
    -- A month's booked costs are those of the planned transactions of its days.
    with planned as (
        select
            portfolio,
            cast(date_trunc('month', cast(date as timestamp)) as date) as month,
            {{ exact_sum('total_cost_usd') }} as planned_usd
        from {{ ref('stg_allocation_transactions') }}
        group by 1, 2
    )

    select portfolio, month, booked.cost_usd, planned.planned_usd
    from {{ model }} as booked
    full join planned using (portfolio, month)
    where coalesce(abs(coalesce(planned.planned_usd, 0) - booked.cost_usd) > {{ tolerance }}, true)
{% endtest %}

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

{% test sums_to(model, value, total_model, total, key, dimension=none, members=none, tolerance=0.000001) %}
    -- Per key, and per member of `dimension` where one is given, the rows' values add up to the total of that key.
    with totals as (
        select
            {% for column in key %}{{ column }}, {% endfor %}
            {%- if dimension %}{{ dimension }}, {% endif -%}
            {{ total }} as total
        from {{ total_model }}
        {%- if dimension %}
        cross join (
            {%- for member in members %}
            {{ 'union all ' if not loop.first }}select '{{ member }}' as {{ dimension }}
            {%- endfor %}
        ) as dimensions
        {%- endif %}
    ),

    {% set keys = key + ([dimension] if dimension else []) -%}
    sums as (
        select {{ keys | join(', ') }}, {{ exact_sum(value) }} as value
        from {{ model }}
        group by {{ keys | join(', ') }}
    )

    select {{ keys | join(', ') }}, total, value
    from totals
    full join sums using ({{ keys | join(', ') }})
    where coalesce(abs(coalesce(value, 0) - total) > {{ tolerance }}, true)
{% endtest %}

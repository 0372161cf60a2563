{#- Rules about single rows and keys. Each returns the rows that break it. -#}

{% test unique_combination(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as rows_of_the_key
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}

{% test complete(model, columns) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    where {% for column in columns %}{{ 'or ' if not loop.first }}{{ column }} is null {% endfor %}
{% endtest %}

{% test within(model, columns, low=none, high=none) %}
    -- Bounds include their ends; nulls pass.
    select {{ columns | join(', ') }}
    from {{ model }}
    where
        false
        {% for column in columns %}
            {%- if low is not none %} or {{ column }} < {{ low }}{% endif -%}
            {%- if high is not none %} or {{ column }} > {{ high }}{% endif -%}
        {% endfor %}
{% endtest %}

{% test non_negative(model, columns) %}
    {{ test_within(model, columns, low=0) }}
{% endtest %}

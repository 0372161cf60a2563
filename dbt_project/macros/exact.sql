{#-
  Arithmetic that gives equal rows on both engines.

  A sum of doubles depends on the order of its terms, and neither engine promises one. So money is summed in decimals,
  where the order does not matter, and the total goes back to a double. The way into decimals is the double's text:
  both engines write the shortest text that stands for it, whereas a direct cast keeps 15 digits in Postgres and all
  of them in DuckDB. Nine decimals of a dollar are far below the 1e-6 USD of the accounting identities.

  `+ - * /` on doubles are exactly rounded everywhere and need none of this. `ln` and `exp` come from the system's
  library and may differ in the last digit between builds: their results are rounded with `exact`, too.
-#}

{% macro exact(expression, decimals=9) -%}
    cast(cast({{ expression }} as varchar) as numeric(38, {{ decimals }}))
{%- endmacro %}

{% macro as_double(expression) -%}
    cast(cast({{ expression }} as varchar) as double precision)
{%- endmacro %}

{% macro exact_sum(expression) -%}
    {{ as_double('sum(' ~ exact(expression) ~ ')') }}
{%- endmacro %}

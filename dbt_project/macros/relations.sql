{#-
  Relations without the database's name. A DuckDB database is named after its file, and a view that spells that name
  out no longer works once the file is moved or copied.
-#}

{% macro ref() -%}
    {%- do return(builtins.ref(*varargs, **kwargs).include(database=false)) -%}
{%- endmacro %}

{% macro source(source_name, table_name) -%}
    {%- do return(builtins.source(source_name, table_name).include(database=false)) -%}
{%- endmacro %}

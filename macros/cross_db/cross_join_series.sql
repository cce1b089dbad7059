{% macro cross_join_series(row_count, alias) -%}
    {{ return(adapter.dispatch('cross_join_series', 'vector_runtime')(row_count, alias)) }}
{%- endmacro %}

{% macro default__cross_join_series(row_count, alias) -%}
    cross join lateral unnest(range(cast({{ row_count }} as bigint))) as {{ alias }} (n)
{%- endmacro %}

{% macro sqlserver__cross_join_series(row_count, alias) -%}
    cross apply (
        select top (cast({{ row_count }} as int))
            row_number() over (order by (select null)) - 1 as n
        from (values (0), (0), (0), (0), (0), (0), (0), (0), (0), (0)) as d0 (n)
        cross join (values (0), (0), (0), (0), (0), (0), (0), (0), (0), (0)) as d1 (n)
        cross join (values (0), (0), (0), (0), (0), (0), (0), (0), (0), (0)) as d2 (n)
        cross join (values (0), (0), (0), (0), (0), (0), (0), (0), (0), (0)) as d3 (n)
        cross join (values (0), (0), (0), (0), (0), (0), (0), (0), (0), (0)) as d4 (n)
        cross join (values (0), (0), (0), (0), (0), (0), (0), (0), (0), (0)) as d5 (n)
    ) as {{ alias }}
{%- endmacro %}

{% macro spark__cross_join_series(row_count, alias) -%}
    {#- SEQUENCE(0, -1) counts downwards. -#}
    lateral view explode(
        case when {{ row_count }} > 0 then sequence(0, cast({{ row_count }} as int) - 1) else cast(array() as array<int>) end
    ) {{ alias }} as n
{%- endmacro %}

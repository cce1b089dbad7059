{% macro ledger_beside(relation) -%}
    {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__rebuild'})) }}
{%- endmacro %}

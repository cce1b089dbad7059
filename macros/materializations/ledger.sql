{% materialization ledger, default %}
    {%- if not config.get('contract').enforced -%}
        {% do exceptions.raise_compiler_error("Ledger " ~ model.name ~ " needs `contract: {enforced: true}`.") %}
    {%- endif -%}

    {%- set relation = this.incorporate(type='table') -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set unique_key = [config.require('unique_key')] if config.get('unique_key') is string
        else config.require('unique_key') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if existing is not none and not existing.is_table -%}
        {% do exceptions.raise_compiler_error(
            relation ~ " exists as a " ~ existing.type ~ ". A ledger replaces nothing: rename or drop it yourself.") %}
    {%- endif -%}
    {#- What is written goes through `statement`, which begins the model's one transaction; run_query would not. -#}
    {% do ledger_lock(relation) %}
    {%- if existing is none -%}
        {% do ledger_create(relation, model) %}
    {%- else -%}
        {% do ledger_add_columns(relation) %}
    {%- endif -%}
    {#- After the table is there: the SQL may read it as `this`. -#}
    {% do ledger_assert_contract(sql) %}
    {% do ledger_create_indexes(relation, model) %}

    {#- With --empty or --sample the SQL sees no rows, or a few: all others would seem to have vanished. -#}
    {%- set partial = flags.EMPTY or flags.SAMPLE -%}
    {%- set counts = {'inserted': 0, 'updated': 0} if partial
        else ledger_change_counts(relation, sql, unique_key) -%}
    {%- if counts.updated -%}
        {%- call statement('update_ledger') -%} {{ ledger_update_sql(relation, sql, unique_key) }} {%- endcall -%}
    {%- endif -%}
    {%- call statement('main') -%}
        {{ ledger_insert_sql(relation, sql, unique_key) if counts.inserted else 'select 1 as unchanged' }}
    {%- endcall -%}
    {%- if counts.inserted or counts.updated -%}
        {% do log(model.name ~ ": " ~ counts.inserted ~ " inserted, " ~ counts.updated ~ " updated", info=true) %}
    {%- elif config.get('meta', {}).get('filled_by') == 'dbt' -%}
        {% do log(model.name ~ ": " ~ ('not written, only a part of the sources is read' if partial
            else 'nothing new or changed'), info=true) %}
    {%- endif -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [relation]}) }}
{% endmaterialization %}

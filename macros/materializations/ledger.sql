{% materialization ledger, default %}
    {#- No contract of dbt's: it would warn, in each project that installs this, of constraints it does not make itself. -#}
    {%- for column in model.columns.values() if not column.data_type -%}
        {% do exceptions.raise_compiler_error("Ledger " ~ model.name ~ ": column " ~ column.name ~ " has no data_type.") %}
    {%- endfor -%}

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
    {% do vector_runtime.ledger_lock(relation) %}
    {%- if existing is none -%}
        {% do vector_runtime.ledger_create(relation, model) %}
    {%- else -%}
        {% do vector_runtime.ledger_add_columns(relation) %}
    {%- endif -%}
    {#- After the table is there: the SQL may read it as `this`. -#}
    {% do vector_runtime.ledger_assert_contract(sql) %}
    {% do vector_runtime.ledger_create_indexes(relation, model) %}

    {#- With --empty or --sample the SQL sees no rows, or a few: all others would seem to have vanished. -#}
    {%- set partial = flags.EMPTY or flags.SAMPLE -%}
    {%- set counts = {'inserted': 0, 'updated': 0} -%}
    {%- if not partial -%}
        {%- set changes = vector_runtime.ledger_stage(sql) -%}
        {%- set counts = vector_runtime.ledger_change_counts(relation, changes, unique_key) -%}
    {%- endif -%}
    {% do vector_runtime.ledger_write(relation, changes, unique_key, counts) %}
    {%- if not partial -%}
        {% do vector_runtime.ledger_unstage() %}
    {%- endif -%}
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

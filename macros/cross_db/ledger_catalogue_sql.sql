{% macro ledger_catalogue_sql(relations) -%}
    {{ return(adapter.dispatch('ledger_catalogue_sql', 'vector_runtime')(relations)) }}
{%- endmacro %}

{% macro default__ledger_catalogue_sql(relations) -%}
    {#- DuckDB keeps no name of a constraint, and a foreign key stays within its schema. -#}
    {%- set tables = [] -%}
    {%- for relation in relations -%}
        {%- do tables.append("('" ~ [relation.database, relation.schema, relation.identifier] | map('lower') | join("', '") ~ "')") -%}
    {%- endfor -%}
    with ledger as materialized (
        select database_name, schema_name, table_name, comment, lower(concat(schema_name, '.', table_name)) as ledger_text
        from duckdb_tables()
        where (lower(database_name), lower(schema_name), lower(table_name)) in ({{ tables | join(', ') }})
    ),

    column_row as materialized (
        select
            ledger_text,
            column_name,
            lower(data_type) as type_text,
            case when is_nullable then 'yes' else 'no' end as nullable,
            column_default
        from duckdb_columns() inner join ledger using (database_name, schema_name, table_name)
    ),

    constraint_row as materialized (
        select
            database_name,
            schema_name,
            lower(constraint_type) as kind,
            constraint_name,
            table_name,
            referenced_table,
            concat('(', array_to_string(constraint_column_names, ', '), ')') as columns_text,
            concat('(', array_to_string(referenced_column_names, ', '), ')') as referenced_text,
            expression
        from duckdb_constraints()
        where constraint_type <> 'NOT NULL'
    )

    select ledger_text, 'column' as kind, column_name as name, type_text as detail, nullable
    from column_row
    union all
    select ledger_text, 'default', column_name, column_default, null
    from column_row
    where column_default is not null
    union all
    select
        ledger.ledger_text,
        kind,
        constraint_name,
        case kind
            when 'check' then expression
            when 'foreign key' then concat(columns_text, ' references ', referenced_table, ' ', referenced_text)
            else columns_text
        end,
        null
    from constraint_row inner join ledger using (database_name, schema_name, table_name)
    union all
    select
        ledger.ledger_text,
        'reference',
        constraint_row.constraint_name,
        concat(constraint_row.schema_name, '.', constraint_row.table_name),
        null
    from constraint_row
    inner join ledger
        on
            constraint_row.database_name = ledger.database_name
            and constraint_row.schema_name = ledger.schema_name
            and lower(constraint_row.referenced_table) = lower(ledger.table_name)
    where constraint_row.kind = 'foreign key'
    union all
    select ledger_text, 'index', index_name, sql, null
    from duckdb_indexes() inner join ledger using (database_name, schema_name, table_name)
    where sql is not null
    union all
    select ledger_text, 'comment', null, comment, null
    from ledger
    where comment is not null
{%- endmacro %}

{% macro sqlserver__ledger_catalogue_sql(relations) -%}
    {%- set object = "object_id(N'" ~ relations[0].include(database=false) ~ "')" -%}
    select
        'column' as kind,
        c.name collate database_default as name,
        cast(case
            when t.name in ('nvarchar', 'nchar')
                then concat(t.name, '(', case c.max_length when -1 then 'max' else cast(c.max_length / 2 as varchar(10)) end, ')')
            when t.name in ('varchar', 'char', 'varbinary', 'binary')
                then concat(t.name, '(', case c.max_length when -1 then 'max' else cast(c.max_length as varchar(10)) end, ')')
            when t.name in ('datetime2', 'datetimeoffset', 'time') then concat(t.name, '(', c.scale, ')')
            when t.name in ('decimal', 'numeric') then concat(t.name, '(', c.[precision], ', ', c.scale, ')')
            else t.name
        end as nvarchar(max)) collate database_default as detail,
        case when c.is_nullable = 1 then 'yes' else 'no' end as nullable
    from sys.columns as c
    inner join sys.types as t on c.user_type_id = t.user_type_id
    where c.object_id = {{ object }} and t.name <> 'timestamp'
    union all
    select
        'default',
        c.name collate database_default,
        cast(given.[definition] as nvarchar(max)) collate database_default,
        given.name collate database_default
    from sys.default_constraints as given
    inner join sys.columns as c on given.parent_object_id = c.object_id and given.parent_column_id = c.column_id
    where given.parent_object_id = {{ object }}
    union all
    select
        case keys.type when 'PK' then 'primary key' else 'unique' end,
        keys.name collate database_default,
        concat(
            '(', string_agg(cast(c.name as nvarchar(max)), ', ') within group (order by part.key_ordinal), ')'
        ) collate database_default,
        null
    from sys.key_constraints as keys
    inner join sys.indexes as held_by on keys.parent_object_id = held_by.object_id and keys.name = held_by.name
    inner join sys.index_columns as part on held_by.object_id = part.object_id and held_by.index_id = part.index_id
    inner join sys.columns as c on part.object_id = c.object_id and part.column_id = c.column_id
    where keys.parent_object_id = {{ object }}
    group by keys.type, keys.name
    union all
    select
        'foreign key',
        refers.name collate database_default,
        concat(
            '(', string_agg(cast(c.name as nvarchar(max)), ', ') within group (order by part.constraint_column_id),
            ') references ', object_name(refers.referenced_object_id), ' (',
            string_agg(cast(referred.name as nvarchar(max)), ', ') within group (order by part.constraint_column_id), ')'
        ) collate database_default,
        null
    from sys.foreign_keys as refers
    inner join sys.foreign_key_columns as part on refers.object_id = part.constraint_object_id
    inner join sys.columns as c on part.parent_object_id = c.object_id and part.parent_column_id = c.column_id
    inner join sys.columns as referred
        on part.referenced_object_id = referred.object_id and part.referenced_column_id = referred.column_id
    where refers.parent_object_id = {{ object }}
    group by refers.name, refers.referenced_object_id
    union all
    select
        'check',
        checked.name collate database_default,
        cast(checked.[definition] as nvarchar(max)) collate database_default,
        null
    from sys.check_constraints as checked
    where checked.parent_object_id = {{ object }}
    union all
    select
        'reference',
        name collate database_default,
        concat(schema_name(schema_id), '.', object_name(parent_object_id)) collate database_default,
        null
    from sys.foreign_keys
    where referenced_object_id = {{ object }}
    union all
    select
        'comment', name collate database_default, cast(value as nvarchar(max)) collate database_default, null
    from sys.extended_properties
    where class = 1 and minor_id = 0 and name = N'vector_ledger' and major_id = {{ object }}
{%- endmacro %}

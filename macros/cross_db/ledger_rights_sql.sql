{% macro ledger_rights_sql(relation) -%}
    {#- Rights on a table go with it. Those on single columns too. -#}
    select
        concat(
            case rights.state when 'W' then 'grant' else lower(rights.state_desc) end, ' ', lower(rights.permission_name),
            ' on {{ relation.include(database=false) }}',
            case when c.name is not null then concat(' (', quotename(c.name), ')') end,
            ' to ', quotename(who.name), case rights.state when 'W' then ' with grant option' end
        ) as statement
    from sys.database_permissions as rights
    inner join sys.database_principals as who on rights.grantee_principal_id = who.principal_id
    left join sys.columns as c on rights.major_id = c.object_id and rights.minor_id = c.column_id
    where rights.class = 1 and rights.major_id = object_id(N'{{ relation.include(database=false) }}')
{%- endmacro %}

{% macro utc_time(expression) -%}
    {{ return(adapter.dispatch('utc_time', 'vector_runtime')(expression)) }}
{%- endmacro %}

{% macro default__utc_time(expression) -%}
    {#- A cast of a zoned time to TIMESTAMP would go by the session's zone, and that of a text drops its offset. -#}
    {%- set text = "regexp_replace(upper(trim(cast(" ~ expression ~ " as varchar))), ' ([+-])', '\\1')" -%}
    {%- set time = '\\d{4}-\\d{2}-\\d{2}[T ]([01]\\d|2[0-3]):\\d{2}(:\\d{2}(\\.\\d+)?)?' -%}
    {#- DuckDB takes an offset of any size; there are none beyond 14 hours, and T-SQL has none. -#}
    {%- set zone = '(Z| ?UTC|[+-](0\\d|1[0-3])(:?[0-5]\\d)?|[+-]14(:?00)?)' -%}
    case
        when typeof({{ expression }}) like '%WITH TIME ZONE'
            then make_timestamp(epoch_us(try_cast({{ expression }} as timestamptz)))
        when typeof({{ expression }}) = 'DATE' or typeof({{ expression }}) like 'TIMESTAMP%'
            then try_cast({{ expression }} as timestamp)
        when regexp_full_match({{ text }}, '{{ time }}{{ zone }}')
            then make_timestamp(epoch_us(try_cast({{ text }} as timestamptz)))
        when regexp_full_match({{ text }}, '\d{4}-\d{2}-\d{2}|{{ time }}') then try_cast({{ text }} as timestamp)
    end
{%- endmacro %}

{% macro sqlserver__utc_time(expression) -%}
    {#- What has no year, the empty text too, would be a time of the year 1900. DATETIMEOFFSET has 7 decimals. -#}
    case
        when cast({{ expression }} as nvarchar(max)) collate Latin1_General_100_BIN2 like N'%[0-9][0-9][0-9][0-9]%'
            then cast(switchoffset(try_cast({{ expression }} as datetimeoffset), '+00:00') as datetime2(6))
    end
{%- endmacro %}

{% macro spark__utc_time(expression) -%}
    {#- ANSI casts: what is no time is null by TRY_CAST. A cast of a zoned time goes by the session's zone, and so does its
        way back. -#}
    {%- set text = "regexp_replace(upper(trim(cast(" ~ expression ~ " as string))), ' ([+-])', '$1')" -%}
    {%- set time = '[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?' -%}
    {%- set zone = '(Z| ?UTC|[+-](0[0-9]|1[0-3])(:?[0-5][0-9])?|[+-]14(:?00)?)' -%}
    case
        when typeof({{ expression }}) in ('date', 'timestamp_ntz') then try_cast({{ expression }} as timestamp_ntz)
        else transform(
            array(case when typeof({{ expression }}) = 'timestamp' then concat(cast({{ expression }} as string), date_format(try_cast({{ expression }} as timestamp), 'XXX')) else {{ text }} end),
            time -> case
                when time rlike '^{{ time }}{{ zone }}\\z'
                    then cast(to_utc_timestamp(try_cast(time as timestamp), current_timezone()) as timestamp_ntz)
                when time rlike '^([0-9]{4}-[0-9]{2}-[0-9]{2}|{{ time }})\\z' then try_cast(time as timestamp_ntz)
            end)[0]
    end
{%- endmacro %}

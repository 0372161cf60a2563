-- Roles of the warehouse; run once as the owner of the tables, after the first migration:
--     psql "$DEFIYIELD_WAREHOUSE" -f sql/roles.sql
-- Both are groups without login. Give them to the users that log in:
--     grant defiyield_writer to pipeline_user;
-- The owner alone migrates. A writer replaces rows and lets dbt build its models, a reader looks.
do $$
begin
    if not exists (select from pg_roles where rolname = 'defiyield_reader') then
        create role defiyield_reader nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'defiyield_writer') then
        create role defiyield_writer nologin;
    end if;
end
$$;

grant defiyield_reader to defiyield_writer;
grant usage on schema public to defiyield_reader;
grant create on schema public to defiyield_writer;  -- dbt's models; tables of the owner stay the owner's

grant select on all tables in schema public to defiyield_reader;
grant insert, delete on all tables in schema public to defiyield_writer;
revoke insert, delete on schema_migrations from defiyield_writer;

-- What later migrations of the same owner add.
alter default privileges in schema public grant select on tables to defiyield_reader;
alter default privileges in schema public grant insert, delete on tables to defiyield_writer;

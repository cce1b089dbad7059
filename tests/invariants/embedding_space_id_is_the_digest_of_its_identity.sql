-- Spaces whose id is not the digest of their own columns, so that their vectors are not what the id says.
select
    digest.embedding_space_id,
    {{ uuid_from_digest('digest.identity_sha256') }} as id_of_its_identity
from (
    select
        identity_of_space.embedding_space_id,
        {{ sha256_hex('identity_of_space.identity_json') }} as identity_sha256
    from (
        select
            embedding_space_id,
            {{ space_identity_json() }} as identity_json
        from {{ ref('vector_runtime', 'embedding_space') }}
    ) as identity_of_space
) as digest
where digest.embedding_space_id <> {{ uuid_from_digest('digest.identity_sha256') }}

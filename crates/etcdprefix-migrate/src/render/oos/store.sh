bucket=$(cat <<'END_OF_VALUE'
{{ BucketName }}
END_OF_VALUE
)
endpoint=$(cat <<'END_OF_VALUE'
{{ OSSEndpoint }}
END_OF_VALUE
)
region=$(cat <<'END_OF_VALUE'
{{ regionId }}
END_OF_VALUE
)

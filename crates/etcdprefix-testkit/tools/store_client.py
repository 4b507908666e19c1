"""The stores' official SDKs, as independent readers and writers of what is under test.

usage: store_client.py oss|s3 ENDPOINT REGION BUCKET VERB [KEY [FILE]]

  make              the bucket (S3)
  get, put          an object, for tests
  upload, download  a file, as the SDK does it by its own defaults for large ones
  size              prints how many bytes an object has
  remove            an object
  uploads           prints the ids of multipart uploads of KEY that were begun and not ended (S3)
  idle              nothing: what starting Python, importing the SDK and making a client costs

Keys are taken from KEY_ID, KEY_SECRET and KEY_TOKEN of the environment.
"""

import os
import sys


def oss(endpoint, region, bucket, verb, rest):
    import alibabacloud_oss_v2 as sdk

    config = sdk.config.load_default()
    config.credentials_provider = sdk.credentials.StaticCredentialsProvider(
        os.environ["KEY_ID"], os.environ["KEY_SECRET"], os.environ.get("KEY_TOKEN")
    )
    config.region, config.endpoint, config.use_path_style = region, endpoint, True
    client = sdk.Client(config)
    if verb == "get":
        found = client.get_object(sdk.GetObjectRequest(bucket=bucket, key=rest[0]))
        with open(rest[1], "wb") as file:
            file.write(found.body.read())
    elif verb == "put":
        with open(rest[1], "rb") as file:
            data = file.read()
        client.put_object(sdk.PutObjectRequest(bucket=bucket, key=rest[0], body=data))
    elif verb == "upload":
        client.uploader().upload_file(sdk.PutObjectRequest(bucket=bucket, key=rest[0]), rest[1])
    elif verb == "download":
        request = sdk.GetObjectRequest(bucket=bucket, key=rest[0])
        client.downloader().download_file(request, rest[1])
    elif verb == "size":
        request = sdk.HeadObjectRequest(bucket=bucket, key=rest[0])
        print(client.head_object(request).content_length)
    elif verb == "remove":
        client.delete_object(sdk.DeleteObjectRequest(bucket=bucket, key=rest[0]))
    elif verb != "idle":
        sys.exit(f"no {verb} of OSS")


def s3(endpoint, region, bucket, verb, rest):
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=os.environ["KEY_ID"],
        aws_secret_access_key=os.environ["KEY_SECRET"],
        config=Config(s3={"addressing_style": "path"}),
    )
    if verb == "make":
        client.create_bucket(Bucket=bucket)
    elif verb in ("get", "download"):
        client.download_file(bucket, *rest)
    elif verb in ("put", "upload"):
        client.upload_file(rest[1], bucket, rest[0])
    elif verb == "size":
        print(client.head_object(Bucket=bucket, Key=rest[0])["ContentLength"])
    elif verb == "remove":
        client.delete_object(Bucket=bucket, Key=rest[0])
    elif verb == "uploads":
        for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            if upload["Key"] == rest[0]:
                print(upload["UploadId"])
    elif verb != "idle":
        sys.exit(f"no {verb} of S3")


{"oss": oss, "s3": s3}[sys.argv[1]](*sys.argv[2:6], sys.argv[6:])

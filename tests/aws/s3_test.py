#!/usr/bin/python3
"""S3 of the double."""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import unittest

from asked import Asked

MIB = 1 << 20
HARD_KEY = "a b/ü+~(1)//x.bin"


class S3(Asked):
    number = 0

    def setUp(self):
        S3.number += 1
        self.bucket = f"bucket-{S3.number}"
        self.order(s3={"buckets": [{"name": self.bucket}], "deny": [], "wrong_region": "redirect"})
        self.s3 = self.client("s3", s3={"addressing_style": "path"})

    def put(self, key, body=b"x", **more):
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def get(self, key, **more):
        return self.s3.get_object(Bucket=self.bucket, Key=key, **more)

    # --- objects ---

    def test_what_was_put_is_got(self):
        for body in (b"", b"hello", bytes(range(256)) * 100):
            etag = f'"{hashlib.md5(body).hexdigest()}"'
            put = self.put(HARD_KEY, body, Metadata={"git": "abc"}, ContentType="text/x", ServerSideEncryption="AES256",
                           CacheControl="no-store")
            self.assertEqual(put["ETag"], etag)
            got = self.get(HARD_KEY)
            self.assertEqual(got["Body"].read(), body)
            self.assertEqual((got["ETag"], got["Metadata"], got["ContentType"], got["ContentLength"], got["CacheControl"]),
                             (etag, {"git": "abc"}, "text/x", len(body), "no-store"))
            head = self.s3.head_object(Bucket=self.bucket, Key=HARD_KEY)
            self.assertEqual((head["ContentLength"], head["ETag"], head["Metadata"], head["ServerSideEncryption"]),
                             (len(body), etag, {"git": "abc"}, "AES256"))

    def test_what_is_missing(self):
        self.assertEqual(self.refused(self.get, key="gone"), ("NoSuchKey", "The specified key does not exist.", 404))
        self.assertEqual(self.refused(self.s3.head_object, Bucket=self.bucket, Key="gone")[::2], ("404", 404), "no body, no code")
        self.assertEqual(self.refused(self.s3.get_object, Bucket="no-bucket", Key="k")[::2], ("NoSuchBucket", 404))
        self.assertEqual(self.refused(self.s3.head_bucket, Bucket="no-bucket")[2], 404)

    def test_who_may_not_list_is_told_403(self):
        self.put("there")
        self.order(s3={"deny": [{"bucket": self.bucket, "action": "ListBucket"}]})
        self.assertEqual(self.refused(self.get, key="gone"), ("AccessDenied", "Access Denied", 403))
        self.assertEqual(self.refused(self.s3.head_object, Bucket=self.bucket, Key="gone")[2], 403)
        self.assertEqual(self.get("there")["Body"].read(), b"x")
        self.assertEqual(self.refused(self.s3.list_objects_v2, Bucket=self.bucket)[0], "AccessDenied")
        self.order(s3={"deny": [{"key": "secret/*", "action": "PutObject"}]})
        self.assertEqual(self.refused(self.put, key="secret/k")[0], "AccessDenied")
        self.put("open/k")

    def test_ranges(self):
        self.put("k", b"0123456789")
        for asked, body, told in (("bytes=0-3", b"0123", "bytes 0-3/10"), ("bytes=7-", b"789", "bytes 7-9/10"),
                                  ("bytes=-2", b"89", "bytes 8-9/10"), ("bytes=5-99", b"56789", "bytes 5-9/10")):
            got = self.get("k", Range=asked)
            self.assertEqual((got["Body"].read(), got["ContentRange"]), (body, told))
            self.assertEqual(got["ResponseMetadata"]["HTTPStatusCode"], 206)
        self.assertEqual(self.refused(self.get, key="k", Range="bytes=10-")[::2], ("InvalidRange", 416))

    def test_conditions(self):
        etag = self.put("k")["ETag"]
        self.assertEqual(self.refused(self.put, key="k", IfNoneMatch="*")[::2], ("PreconditionFailed", 412))
        self.put("new", IfNoneMatch="*")
        self.put("k", b"y", IfMatch=etag)
        self.assertEqual(self.refused(self.put, key="k", IfMatch=etag)[::2], ("PreconditionFailed", 412))
        self.assertEqual(self.refused(self.put, key="gone", IfMatch=etag)[::2], ("NoSuchKey", 404))
        self.assertEqual(self.refused(self.get, key="k", IfNoneMatch=self.get("k")["ETag"])[2], 304)
        self.assertEqual(self.refused(self.get, key="k", IfMatch=etag)[2], 412)
        self.assertEqual(self.get("k")["Body"].read(), b"y", "after a 304 the connection is as it was")

    def test_checksums(self):
        for name in ("CRC32", "CRC32C", "SHA1", "SHA256"):
            self.put(name, b"123456789", ChecksumAlgorithm=name) if name != "CRC32C" else \
                self.put(name, b"123456789", ChecksumCRC32C="4waSgw==")  # the check value of CRC-32C
            told = self.s3.head_object(Bucket=self.bucket, Key=name, ChecksumMode="ENABLED")
            self.assertIn(f"Checksum{name}", told)
            self.assertEqual(self.refused(self.put, key="bad", **{f"Checksum{name}": "AAAA"}),
                             ("BadDigest", f"The {name} you specified did not match the calculated checksum.", 400))
        self.assertNotIn("ChecksumSHA1", self.s3.head_object(Bucket=self.bucket, Key="SHA1"))
        wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        self.assertEqual(self.refused(self.put, key="k", ContentMD5=wrong)[0], "BadDigest")

    def test_limits(self):
        self.put("k" * 1024)
        self.assertEqual(self.refused(self.put, key="k" * 1025)[0], "KeyTooLongError")
        self.assertEqual(self.refused(self.put, key="k", Metadata={"a": "x" * 2048})[0], "MetadataTooLarge")

    def test_deletion(self):
        self.put("a"), self.put("b"), self.put("keep/c")
        self.assertEqual(self.s3.delete_object(Bucket=self.bucket, Key="a")["ResponseMetadata"]["HTTPStatusCode"], 204)
        self.s3.delete_object(Bucket=self.bucket, Key="a")  # what is gone already is no error
        self.order(s3={"deny": [{"key": "keep/*", "action": "DeleteObject"}]})
        done = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": "b"}, {"Key": "keep/c"}]})
        self.assertEqual((done["Deleted"], done["Errors"][0]["Code"]), ([{"Key": "b"}], "AccessDenied"))
        self.assertEqual(self.refused(self.s3.delete_bucket, Bucket=self.bucket)[::2], ("BucketNotEmpty", 409))

    def test_copies(self):
        self.put("a b", b"body", Metadata={"m": "1"})
        self.s3.copy_object(Bucket=self.bucket, Key="c", CopySource={"Bucket": self.bucket, "Key": "a b"})
        self.assertEqual((self.get("c")["Body"].read(), self.get("c")["Metadata"]), (b"body", {"m": "1"}))

    def test_lists(self):
        keys = ["a/1", "a/2", "b/1", "c", "d e+ü"]
        for key in keys:
            self.put(key)
        self.assertEqual([one["Key"] for one in self.s3.list_objects_v2(Bucket=self.bucket)["Contents"]], keys)
        folders = self.s3.list_objects_v2(Bucket=self.bucket, Delimiter="/")
        self.assertEqual([one["Prefix"] for one in folders["CommonPrefixes"]], ["a/", "b/"])
        self.assertEqual([one["Key"] for one in folders["Contents"]], ["c", "d e+ü"])
        paginator = self.s3.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=self.bucket, PaginationConfig={"PageSize": 2})
        self.assertEqual([[one["Key"] for one in page["Contents"]] for page in pages], [keys[:2], keys[2:4], keys[4:]])
        pages = paginator.paginate(Bucket=self.bucket, Delimiter="/", PaginationConfig={"PageSize": 1})
        self.assertEqual(len(list(pages)), 4)
        rest = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="a/", StartAfter="a/1")
        self.assertEqual([one["Key"] for one in rest["Contents"]], ["a/2"])
        self.assertEqual([one["Key"] for one in self.s3.list_objects(Bucket=self.bucket, Marker="b/1")["Contents"]], keys[3:])

    # --- buckets ---

    def test_buckets(self):
        name = f"{self.bucket}-made"
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.assertEqual(self.s3.get_bucket_location(Bucket=name)["LocationConstraint"], "eu-west-1")
        self.assertIn(name, [one["Name"] for one in self.s3.list_buckets()["Buckets"]])
        self.assertEqual(self.refused(self.s3.create_bucket, Bucket=name, CreateBucketConfiguration={
            "LocationConstraint": "eu-west-1"})[::2], ("BucketAlreadyOwnedByYou", 409))
        self.assertEqual(self.refused(self.s3.create_bucket, Bucket="other-bucket")[0], "IllegalLocationConstraintException")
        self.s3.delete_bucket(Bucket=name)
        self.assertEqual(self.refused(self.s3.head_bucket, Bucket=name)[2], 404)

    def test_another_region(self):
        self.order(s3={"buckets": [{"name": f"{self.bucket}-us", "region": "us-east-1"}]})
        answer = self.raw("PUT", f"/{self.bucket}-us/k", b"x")
        self.assertEqual((answer.status, answer.headers["x-amz-bucket-region"]), (301, "us-east-1"))
        self.assertIn(b"<Code>PermanentRedirect</Code>", answer.read())
        self.order(s3={"wrong_region": "malformed"})
        answer = self.raw("PUT", f"/{self.bucket}-us/k", b"x")
        self.assertEqual((answer.status, answer.headers["x-amz-bucket-region"]), (400, "us-east-1"))
        self.assertIn(b"<Region>us-east-1</Region>", answer.read())
        self.s3.put_object(Bucket=f"{self.bucket}-us", Key="k", Body=b"x")  # botocore finds the right one by itself

    def raw(self, method, path, body=b"", host=None, **headers):
        """A signed request past botocore's own cleverness."""
        import botocore.auth
        import botocore.awsrequest
        import botocore.credentials
        from asked import REGION, SECRET
        address = self.url[len("http://"):]
        request = botocore.awsrequest.AWSRequest(method, f"http://{host or address}{path}", headers, body)
        botocore.auth.S3SigV4Auth(botocore.credentials.Credentials("AKIDEXAMPLE", SECRET), "s3", REGION).add_auth(request)
        connection = http.client.HTTPConnection(address)
        self.addCleanup(connection.close)
        connection.request(method, path, body, {**dict(request.headers.items()), "Host": host or address})
        return connection.getresponse()

    def test_the_bucket_in_the_hosts_name(self):
        port = self.url.rpartition(":")[2]
        for place in ("s3.eu-west-1.amazonaws.com", "s3.amazonaws.com", f"localhost:{port}"):
            host = f"{self.bucket}.{place}"
            self.assertEqual(self.raw("PUT", "/folder/k", host.encode(), host).status, 200)
            self.assertEqual(self.get("folder/k")["Body"].read(), host.encode())
        s3 = self.client("s3", endpoint="http://s3.eu-west-1.amazonaws.com", s3={"addressing_style": "virtual"},
                         proxies={"http": self.url})
        s3.put_object(Bucket=self.bucket, Key="through a proxy", Body=b"x")
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=self.bucket)["Contents"]]
        self.assertEqual(keys, ["folder/k", "through a proxy"])

    def test_headers_that_no_model_knows(self):
        answer = self.raw("PUT", f"/{self.bucket}/k", b"x", **{"x-amz-storag-class": "GLACIER"})
        self.assertEqual(answer.status, 400)
        self.assertIn(b"x-amz-storag-class", answer.read())
        self.assertEqual(self.raw("POST", f"/{self.bucket}/k?uploads", b"", **{"x-amz-meta-any": "x"}).status, 200)

    def test_slow_down(self):
        self.order(faults=[{"service": "s3", "operation": "PutObject", "status": 503, "code": "SlowDown",
                            "message": "Please reduce your request rate."}])
        self.assertEqual(self.refused(self.put, key="k"), ("SlowDown", "Please reduce your request rate.", 503))
        self.put("k")

    # --- parts ---

    def start(self, key="big", **more):
        return {"Bucket": self.bucket, "Key": key,
                "UploadId": self.s3.create_multipart_upload(Bucket=self.bucket, Key=key, **more)["UploadId"]}

    def parts(self, upload, *sizes):
        def etag(number, size):
            return self.s3.upload_part(**upload, PartNumber=number, Body=bytes([number]) * size)["ETag"]

        return [{"PartNumber": number, "ETag": etag(number, size)} for number, size in enumerate(sizes, 1)]

    def complete(self, upload, parts, **more):
        return self.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, **more)

    def test_an_upload_in_parts(self):
        upload = self.start(Metadata={"m": "1"}, ContentType="text/x")
        parts = self.parts(upload, 5 * MIB, 5 * MIB, 3)
        self.assertEqual(self.refused(self.get, key="big")[0], "NoSuchKey")
        listed = self.s3.list_parts(**upload, MaxParts=2)
        self.assertEqual([one["Size"] for one in listed["Parts"]], [5 * MIB, 5 * MIB])
        self.assertTrue(listed["IsTruncated"])
        rest = self.s3.list_parts(**upload, PartNumberMarker=listed["NextPartNumberMarker"])
        self.assertEqual([one["PartNumber"] for one in rest["Parts"]], [3])
        self.assertEqual([one["UploadId"] for one in self.s3.list_multipart_uploads(Bucket=self.bucket)["Uploads"]],
                         [upload["UploadId"]])
        done = self.complete(upload, parts)
        digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
        self.assertEqual(done["ETag"], f'"{hashlib.md5(digests).hexdigest()}-3"')
        self.assertEqual(self.complete(upload, parts)["ETag"], done["ETag"], "the same call again")
        got = self.get("big")
        self.assertEqual(got["Body"].read(), b"\1" * 5 * MIB + b"\2" * 5 * MIB + b"\3" * 3)
        self.assertEqual((got["Metadata"], got["ContentType"]), ({"m": "1"}, "text/x"))
        self.assertNotIn("Uploads", self.s3.list_multipart_uploads(Bucket=self.bucket))

    def test_parts_that_are_refused(self):
        upload = self.start()
        parts = self.parts(upload, 5 * MIB - 1, 5)
        self.assertEqual(self.refused(self.complete, upload=upload, parts=parts)[0], "EntityTooSmall")
        self.assertEqual(self.refused(self.complete, upload=upload, parts=parts[::-1])[0], "InvalidPartOrder")
        self.assertEqual(self.refused(self.complete, upload=upload, parts=[{"PartNumber": 1, "ETag": '"0"'}])[0], "InvalidPart")
        self.assertEqual(self.refused(self.complete, upload=upload, parts=[{"PartNumber": 9, "ETag": '"0"'}])[0], "InvalidPart")
        self.assertEqual(self.refused(self.complete, upload=upload, parts=[])[0], "MalformedXML")
        self.assertEqual(self.refused(self.s3.upload_part, **upload, PartNumber=10001, Body=b"")[0], "InvalidArgument")
        damaged = {**upload, "PartNumber": 3, "Body": b"x", "ChecksumSHA1": "AAAA"}
        self.assertEqual(self.refused(self.s3.upload_part, **damaged)[0], "BadDigest")
        self.complete(upload, parts[1:])
        self.assertEqual(self.refused(self.s3.upload_part, **upload, PartNumber=1, Body=b"")[::2], ("NoSuchUpload", 404))

    def test_an_aborted_upload(self):
        upload = self.start()
        self.parts(upload, 5)
        self.s3.abort_multipart_upload(**upload)
        self.assertEqual(self.refused(self.s3.abort_multipart_upload, **upload)[0], "NoSuchUpload")

    def test_a_completion_that_fails_late(self):
        for done in (False, True):
            self.order(s3={"complete_errors": [{"key": f"late{done}", "done": done}]})
            upload = self.start(f"late{done}")
            parts = self.parts(upload, 5)
            etag = parts[0]["ETag"].replace('"', "&quot;")
            part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
            body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>"
            path = f"/{self.bucket}/late{done}?uploadId={upload['UploadId']}"
            answer = self.raw("POST", path, body.encode())
            self.assertEqual(answer.status, 200)
            self.assertIn(b"<Error><Code>InternalError</Code>", answer.read())
            there = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"late{done}")["KeyCount"]
            self.assertEqual(there, int(done))
            answer = self.raw("POST", path, body.encode())
            self.assertEqual(answer.status, 200)
            self.assertIn(b"<ETag>", answer.read())

    def test_a_conditional_completion(self):
        self.put("big")
        upload = self.start()
        self.assertEqual(self.refused(self.complete, upload=upload, parts=self.parts(upload, 5), IfNoneMatch="*")[2], 412)

    def test_checksums_of_parts(self):
        upload = self.start(ChecksumAlgorithm="SHA256")
        parts = [{"PartNumber": 1} | {key: value for key, value in self.s3.upload_part(
            **upload, PartNumber=1, Body=b"abc", ChecksumAlgorithm="SHA256").items() if key in ("ETag", "ChecksumSHA256")}]
        done = self.complete(upload, parts)
        inner = hashlib.sha256(hashlib.sha256(b"abc").digest()).digest()
        self.assertEqual(done["ChecksumSHA256"], base64.b64encode(inner).decode() + "-1")

    # --- Debian's aws ---

    def test_debians_aws_copies(self):
        file = pathlib.Path(self.directory.name, "file")
        file.write_bytes(os.urandom(20 * MIB + 1))
        place = f"s3://{self.bucket}/{HARD_KEY}"
        code, _, said, notes = self.aws("s3", "cp", str(file), place)
        self.assertEqual(code, 0, said)
        operations = [note["operation"] for note in notes]
        self.assertEqual(sorted(operations), sorted(["CreateMultipartUpload", *["UploadPart"] * 3, "CompleteMultipartUpload"]))
        self.assertEqual(notes[1]["params"]["Body"], "8388608 bytes" if notes[1]["params"]["PartNumber"] < 3 else "4194305 bytes")
        code, _, said, _ = self.aws("s3", "cp", place, str(file) + ".back")
        self.assertEqual(code, 0, said)
        self.assertEqual(pathlib.Path(str(file) + ".back").read_bytes(), file.read_bytes())
        code, listed, said, _ = self.aws("s3api", "head-object", "--bucket", self.bucket, "--key", HARD_KEY)
        self.assertEqual(listed["ContentLength"], 20 * MIB + 1, json.dumps(listed))


if __name__ == "__main__":
    unittest.main()

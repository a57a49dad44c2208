"""S3: buckets, objects, uploads in parts.

Ordered beforehand:
    {"s3": {"buckets": [{"name": "b", "region": "eu-west-1"}],
            "objects": [{"bucket", "key", "body": text}],
            "deny": [{"bucket": "*", "key": "*", "action": "ListBucket"}],   as a policy would; also GetObject, PutObject, …
            "complete_errors": [{"key": "*", "times": 1, "done": false}],    CompleteMultipartUpload: 200 with <Error>
            "wrong_region": "redirect"}}              or "malformed": which of them AWS answers depends on the endpoint
SlowDown and the rest of the bad days are faults (see double.py). Amazon S3 API Reference; User Guide, "Multipart upload
limits", "Conditional requests", "Checking object integrity".
"""
import base64
import fnmatch
import hashlib
import itertools
import re
import urllib.parse

import wire
from s3_uploads import SUMS, TOLD_AT_PUT, Uploads, checksum
from wire import Refusal

MOST_KEY = 1024  # bytes
MOST_METADATA = 2048  # bytes of names and values
KEPT = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl", "Metadata", "StorageClass",
        "ServerSideEncryption", "SSEKMSKeyId", "WebsiteRedirectLocation")


class S3(Uploads):
    def __init__(self, world):
        self.world = world
        self.buckets = {}  # name -> {"region", "created", "objects": key -> object}
        self.uploads, self.completed = {}, {}  # id -> upload; id -> the answer it had
        self.denied, self.complete_errors = [], []
        self.wrong_region = "redirect"
        self.numbers = itertools.count(1)

    # --- what the test orders ---

    def control(self, orders):
        for order in orders.get("buckets", []):
            self._make_bucket(order["name"], order.get("region", "eu-west-1"))
        for order in orders.get("objects", []):
            self.buckets[order["bucket"]]["objects"][order["key"]] = self._object(order["body"].encode(), {})
        self.denied = orders.get("deny", self.denied)
        self.complete_errors.extend(dict(one) for one in orders.get("complete_errors", []))
        self.wrong_region = orders.get("wrong_region", self.wrong_region)

    def stored(self, bucket, key):
        """An object's bytes, for the services beside; none where there is none."""
        found = self.buckets.get(bucket, {"objects": {}})["objects"].get(key)
        return found and found["body"]

    def _make_bucket(self, name, region):
        self.buckets[name] = {"region": region, "created": self.world.now().replace(microsecond=0), "objects": {}}

    # --- who may, and where ---

    def _allowed(self, action, bucket, key=""):
        return not any(order["action"] in (action, "*") and fnmatch.fnmatchcase(bucket, order.get("bucket", "*")) and
                       fnmatch.fnmatchcase(key, order.get("key", "*")) for order in self.denied)

    def _check_allowed(self, action, bucket, key=""):
        if not self._allowed(action, bucket, key):
            raise Refusal("AccessDenied", "Access Denied", 403)

    def _bucket(self, params, identity, action):
        name = params["Bucket"]
        bucket = self.buckets.get(name)
        if bucket is None:
            raise Refusal("NoSuchBucket", "The specified bucket does not exist", 404, elements={"BucketName": name})
        if identity.region != bucket["region"]:
            self._refuse_region(name, bucket["region"], identity.region)
        self._check_allowed(action, name, params.get("Key", ""))
        return bucket

    def _refuse_region(self, name, region, asked):
        headers = {"x-amz-bucket-region": region}
        if self.wrong_region == "malformed":
            raise Refusal("AuthorizationHeaderMalformed", f"The authorization header is malformed; the region '{asked}' is "
                          f"wrong; expecting '{region}'", 400, headers, {"Region": region})
        raise Refusal("PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified "
                      "endpoint. Please send all future requests to this endpoint.", 301, headers,
                      {"Endpoint": f"{name}.s3.{region}.amazonaws.com", "Bucket": name})

    def _found(self, params, identity, action="GetObject"):
        bucket = self._bucket(params, identity, action)
        if params["Key"] not in bucket["objects"]:
            self._check_allowed("ListBucket", params["Bucket"])  # who may not list is not told what is missing
            raise Refusal("NoSuchKey", "The specified key does not exist.", 404, elements={"Key": params["Key"]})
        return bucket["objects"][params["Key"]]

    # --- buckets ---

    def ListBuckets(self, params, identity):
        return {"Buckets": [{"Name": name, "CreationDate": one["created"]} for name, one in sorted(self.buckets.items())],
                "Owner": {"DisplayName": "example", "ID": "0" * 64}}

    def CreateBucket(self, params, identity):
        name = params["Bucket"]
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
            raise Refusal("InvalidBucketName", "The specified bucket is not valid.", elements={"BucketName": name})
        region = params.get("CreateBucketConfiguration", {}).get("LocationConstraint", "us-east-1")
        if region != identity.region:
            raise Refusal("IllegalLocationConstraintException", f"The {region if region != 'us-east-1' else 'unspecified'} "
                          "location constraint is incompatible for the region specific endpoint this request was sent to.")
        if name in self.buckets:
            raise Refusal("BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you "
                          "already own it.", 409)
        self._make_bucket(name, region)
        return {"Location": f"/{name}"}

    def HeadBucket(self, params, identity):
        self._bucket(params, identity, "ListBucket")
        return {"BucketRegion": self.buckets[params["Bucket"]]["region"]}

    def GetBucketLocation(self, params, identity):
        region = self.buckets.get(params["Bucket"], {"region": None})["region"]
        if region is None:
            self._bucket(params, identity, "GetBucketLocation")
        place = "" if region == "us-east-1" else region  # the oldest region has no name here
        text = f'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{place}</LocationConstraint>'
        return wire.Answer(200, {"Content-Type": "application/xml"}, text.encode())

    def DeleteBucket(self, params, identity):
        if self._bucket(params, identity, "DeleteBucket")["objects"]:
            raise Refusal("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
        del self.buckets[params["Bucket"]]
        return {}

    # --- objects ---

    def PutObject(self, params, identity):
        bucket = self._bucket(params, identity, "PutObject")
        body = params.get("Body", b"")
        self._check_names(params)
        self._check_body(params, body)
        self._check_conditions(bucket, params)
        made = self._object(body, params)
        bucket["objects"][params["Key"]] = made
        return {"ETag": made["etag"]} | self._told(made, (*TOLD_AT_PUT, *SUMS))

    def GetObject(self, params, identity):
        found = self._found(params, identity)
        self._check_freshness(params, found)
        body, told = found["body"], self._facts(found, params)
        if "Range" in params:
            start, end = self._range(params["Range"], len(body))
            told["ContentRange"] = f"bytes {start}-{end}/{len(body)}"
            body = body[start:end + 1]
        return told | {"Body": body}

    def HeadObject(self, params, identity):
        found = self._found(params, identity)
        self._check_freshness(params, found)
        return self._facts(found, params) | {"ContentLength": len(found["body"])}

    def DeleteObject(self, params, identity):
        self._bucket(params, identity, "DeleteObject")["objects"].pop(params["Key"], None)
        return {}

    def DeleteObjects(self, params, identity):
        bucket = self._bucket(params, identity, "ListBucket")
        deleted, errors = [], []
        for one in params["Delete"]["Objects"]:
            if self._allowed("DeleteObject", params["Bucket"], one["Key"]):
                bucket["objects"].pop(one["Key"], None)
                deleted.append({"Key": one["Key"]})
            else:
                errors.append({"Key": one["Key"], "Code": "AccessDenied", "Message": "Access Denied"})
        quiet = params["Delete"].get("Quiet", False)
        return ({"Errors": errors} if errors else {}) | ({} if quiet else {"Deleted": deleted})

    def CopyObject(self, params, identity):
        bucket = self._bucket(params, identity, "PutObject")
        name, _, key = urllib.parse.unquote(params["CopySource"]).lstrip("/").partition("/")
        found = self._found({"Bucket": name, "Key": key}, identity)
        made = self._object(found["body"], params if params.get("MetadataDirective") == "REPLACE" else found["kept"])
        bucket["objects"][params["Key"]] = made
        return {"CopyObjectResult": {"ETag": made["etag"], "LastModified": made["time"]}}

    @staticmethod
    def _check_names(params):
        if len(params["Key"].encode()) > MOST_KEY:
            raise Refusal("KeyTooLongError", "Your key is too long")
        if sum(len(key) + len(value) for key, value in params.get("Metadata", {}).items()) > MOST_METADATA:
            raise Refusal("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")

    @staticmethod
    def _check_body(params, body):
        if "ContentLength" in params and params["ContentLength"] != len(body):
            raise Refusal("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length header")
        if "ContentMD5" in params and params["ContentMD5"] != base64.b64encode(hashlib.md5(body).digest()).decode():
            raise Refusal("BadDigest", "The Content-MD5 you specified did not match what we received.")
        for name in SUMS:
            if name in params and params[name] != checksum(name, body):
                raise Refusal("BadDigest", f"The {name[len('Checksum'):]} you specified did not match the calculated checksum.")

    @staticmethod
    def _check_conditions(bucket, params):
        there = bucket["objects"].get(params["Key"])
        if params.get("IfNoneMatch", "*") != "*":
            raise Refusal("NotImplemented", "A header you provided implies functionality that is not implemented", 501)
        if "IfMatch" in params and there is None:
            raise Refusal("NoSuchKey", "The specified key does not exist.", 404)
        changed = "IfMatch" in params and params["IfMatch"] not in (there["etag"], there["etag"][1:-1])
        if changed or "IfNoneMatch" in params and there:
            raise Refusal("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412,
                          elements={"Condition": "If-None-Match" if "IfNoneMatch" in params else "If-Match"})

    @staticmethod
    def _check_freshness(params, found):
        if "IfMatch" in params and params["IfMatch"] not in (found["etag"], found["etag"][1:-1], "*"):
            raise Refusal("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)
        if params.get("IfNoneMatch") in (found["etag"], found["etag"][1:-1], "*"):
            raise Refusal("NotModified", "Not Modified", 304, {"ETag": found["etag"]})

    @staticmethod
    def _range(text, size):
        """(first, last) byte; a range that is not understood is no range."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", text)
        if not match or match.groups() == ("", ""):
            return 0, size - 1
        first, last = match.groups()
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last), size - 1) if first and last else size - 1
        if start >= size or (first and last and int(last) < start):
            raise Refusal("InvalidRange", "The requested range is not satisfiable", 416, {"Content-Range": f"bytes */{size}"},
                          {"ActualObjectSize": str(size), "RangeRequested": text})
        return start, end

    def _object(self, body, params, etag=None):
        kept = {key: params[key] for key in (*KEPT, *SUMS) if key in params}
        algorithm = "Checksum" + params.get("ChecksumAlgorithm", "")
        if algorithm in SUMS and algorithm not in kept:
            kept[algorithm] = checksum(algorithm, body)
        return {"body": body, "etag": etag or f'"{hashlib.md5(body).hexdigest()}"', "kept": kept,
                "time": self.world.now().replace(microsecond=0)}

    @staticmethod
    def _told(found, names):
        return {key: found["kept"][key] for key in names if key in found["kept"]}

    def _facts(self, found, params):
        names = [key for key in KEPT if key != "ContentType"] + list(SUMS if params.get("ChecksumMode") == "ENABLED" else ())
        return self._told(found, names) | {
            "ETag": found["etag"], "LastModified": found["time"], "AcceptRanges": "bytes",
            "ContentType": found["kept"].get("ContentType", "binary/octet-stream")}

    # --- lists ---

    def ListObjectsV2(self, params, identity):
        bucket = self._bucket(params, identity, "ListBucket")
        token = params.get("ContinuationToken")
        if token is not None and not token.startswith("after/"):
            raise Refusal("InvalidArgument", "The continuation token provided is incorrect")
        after = token[len("after/"):] if token else params.get("StartAfter", "")
        told, last = self._listed(bucket, params, after)
        told["KeyCount"] = len(told.get("Contents", [])) + len(told.get("CommonPrefixes", []))
        told |= {key: params[key] for key in ("ContinuationToken", "StartAfter") if key in params}
        return told | ({"NextContinuationToken": f"after/{last}"} if told["IsTruncated"] else {})

    def ListObjects(self, params, identity):
        bucket = self._bucket(params, identity, "ListBucket")
        told, last = self._listed(bucket, params, params.get("Marker", ""))
        return told | ({"NextMarker": last} if told["IsTruncated"] and "Delimiter" in params else {})

    @staticmethod
    def _listed(bucket, params, after):
        prefix, delimiter, most = params.get("Prefix", ""), params.get("Delimiter", ""), min(params.get("MaxKeys", 1000), 1000)
        encode = urllib.parse.quote if params.get("EncodingType") == "url" else lambda text: text
        contents, prefixes, last, truncated = [], [], "", False
        for key in sorted(bucket["objects"], key=str.encode):
            folder = delimiter in key[len(prefix):] and prefix + key[len(prefix):].partition(delimiter)[0] + delimiter \
                if delimiter else None
            if not key.startswith(prefix) or (folder or key) <= after or folder and encode(folder) in prefixes:
                continue
            if len(contents) + len(prefixes) == most:
                truncated = True
                break
            last = folder or key
            if folder:
                prefixes.append(encode(folder))
                continue
            one = bucket["objects"][key]
            contents.append({"Key": encode(key), "LastModified": one["time"], "ETag": one["etag"], "Size": len(one["body"]),
                             "StorageClass": one["kept"].get("StorageClass", "STANDARD")})
        told = {"Name": params["Bucket"], "Prefix": encode(prefix), "MaxKeys": params.get("MaxKeys", 1000),
                "IsTruncated": truncated}
        told |= {key: encode(params[key]) if key == "Delimiter" else params[key]
                 for key in ("Delimiter", "EncodingType") if key in params}
        if contents:
            told["Contents"] = contents
        if prefixes:
            told["CommonPrefixes"] = [{"Prefix": one} for one in prefixes]
        return told, last

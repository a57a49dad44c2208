#!/usr/bin/python3
"""ECR of the double, and its registry."""
import base64
import hashlib
import http.client
import http.server
import json
import threading
import unittest

from asked import Asked
from registry import MANIFEST


HERE = "in the registry with id '123456789012'"


class Ecr(Asked):
    number = 0

    def setUp(self):
        Ecr.number += 1
        self.name = f"team/app{Ecr.number}"
        self.order(ecr={"repositories": [{"name": self.name}], "endpoint": None, "token_seconds": 43200})
        self.ecr = self.client("ecr")

    # --- the API ---

    def test_repositories(self):
        found = self.ecr.describe_repositories(repositoryNames=[self.name])["repositories"][0]
        self.assertEqual((found["repositoryName"], found["imageTagMutability"]), (self.name, "MUTABLE"))
        self.assertEqual(found["repositoryUri"], f"{self.url[len('http://'):]}/{self.name}")
        self.assertEqual(self.refused(self.ecr.describe_repositories, repositoryNames=["gone"])[:2], (
            "RepositoryNotFoundException", f"The repository with name 'gone' does not exist {HERE}"))
        made = self.ecr.create_repository(repositoryName=f"{self.name}/new", imageTagMutability="IMMUTABLE",
                                          imageScanningConfiguration={"scanOnPush": True})["repository"]
        self.assertEqual((made["imageTagMutability"], made["imageScanningConfiguration"]), ("IMMUTABLE", {"scanOnPush": True}))
        self.assertEqual(self.refused(self.ecr.create_repository, repositoryName=self.name)[:2], (
            "RepositoryAlreadyExistsException", f"The repository with name '{self.name}' already exists {HERE}"))
        self.order(ecr={"images": [{"repository": self.name, "tags": ["v1"]}]})
        self.assertEqual(self.refused(self.ecr.delete_repository, repositoryName=self.name)[0], "RepositoryNotEmptyException")
        self.ecr.delete_repository(repositoryName=self.name, force=True)
        self.assertEqual(self.refused(self.ecr.list_images, repositoryName=self.name)[0], "RepositoryNotFoundException")

    def test_images(self):
        self.order(ecr={"images": [{"repository": self.name, "tags": ["v1", "latest"], "layers": 2}, {"repository": self.name}]})
        answer = self.ecr.batch_get_image(repositoryName=self.name, imageIds=[{"imageTag": "v1"}, {"imageTag": "v2"}])
        digest = answer["images"][0]["imageId"]["imageDigest"]
        self.assertEqual(digest, "sha256:" + hashlib.sha256(answer["images"][0]["imageManifest"].encode()).hexdigest())
        self.assertEqual(answer["failures"], [{"imageId": {"imageTag": "v2"}, "failureCode": "ImageNotFound",
                                               "failureReason": "Requested image not found"}])
        by_digest = self.ecr.batch_get_image(repositoryName=self.name, imageIds=[{"imageDigest": digest}])
        self.assertEqual(len(by_digest["images"]), 1)
        details = self.ecr.describe_images(repositoryName=self.name, imageIds=[{"imageTag": "latest"}])["imageDetails"][0]
        self.assertEqual((details["imageDigest"], sorted(details["imageTags"]), details["imageSizeInBytes"]),
                         (digest, ["latest", "v1"], 2048))
        code, said, _ = self.refused(self.ecr.describe_images, repositoryName=self.name, imageIds=[{"imageTag": "v2"}])
        self.assertEqual((code, said), (
            "ImageNotFoundException", "The image with imageId {imageDigest:'null', imageTag:'v2'} does not exist within the "
            f"repository with name '{self.name}' {HERE}"))
        untagged = self.ecr.list_images(repositoryName=self.name, filter={"tagStatus": "UNTAGGED"})["imageIds"]
        self.assertEqual([list(one) for one in untagged], [["imageDigest"]])
        self.ecr.batch_delete_image(repositoryName=self.name, imageIds=[{"imageTag": "v1"}])
        self.assertEqual(self.ecr.describe_images(repositoryName=self.name, imageIds=[{"imageDigest": digest}])[
            "imageDetails"][0]["imageTags"], ["latest"])

    def test_an_image_that_gets_another_tag(self):
        self.order(ecr={"images": [{"repository": self.name, "tags": ["v1"]}, {"repository": self.name, "tags": ["v2"]}]})
        images = self.ecr.batch_get_image(repositoryName=self.name, imageIds=[{"imageTag": "v1"}, {"imageTag": "v2"}])["images"]
        manifest = {image["imageId"]["imageTag"]: image["imageManifest"] for image in images}
        first = {"repositoryName": self.name, "imageManifest": manifest["v1"], "imageTag": "prod"}
        self.ecr.put_image(**first)
        self.assertEqual(self.refused(self.ecr.put_image, **first)[0], "ImageAlreadyExistsException")
        self.ecr.put_image(repositoryName=self.name, imageManifest=manifest["v2"], imageTag="prod")  # it moves
        self.ecr.put_image_tag_mutability(repositoryName=self.name, imageTagMutability="IMMUTABLE")
        self.assertEqual(self.refused(self.ecr.put_image, **first)[:2], (
            "ImageTagAlreadyExistsException", f"The image tag 'prod' already exists in the '{self.name}' repository and cannot "
            "be overwritten because the repository is immutable."))
        self.assertEqual(self.refused(self.ecr.put_image, **(first | {"imageManifest": "{"}))[0], "InvalidParameterException")

    def test_pages(self):
        self.order(ecr={"images": [{"repository": self.name, "tags": [str(number)]} for number in range(5)]})
        pages = self.ecr.get_paginator("list_images").paginate(repositoryName=self.name, PaginationConfig={"PageSize": 2})
        self.assertEqual([len(page["imageIds"]) for page in pages], [2, 2, 1])

    def test_debians_aws_logs_in(self):
        code, said, errors, _ = self.aws("ecr", "get-login-password")
        self.assertEqual(code, 0, errors)
        self.assertRegex(str(said).strip(), "^password-")

    # --- the registry ---

    def login(self):
        data = self.ecr.get_authorization_token()["authorizationData"][0]
        self.assertEqual(data["proxyEndpoint"], self.url)
        return data["authorizationToken"]

    def ask(self, method, path, token=None, body=None, **headers):
        connection = http.client.HTTPConnection(self.url[len("http://"):])
        self.addCleanup(connection.close)
        if token:
            headers["Authorization"] = f"Basic {token}"
        connection.request(method, path, body, headers, encode_chunked=headers.get("Transfer-Encoding") == "chunked")
        answer = connection.getresponse()
        return answer, answer.read()

    def push(self, token, tag, content=b"layer", name=None):
        """As an engine does it; (status, body) of the last answer."""
        name, blobs = name or self.name, []
        for blob in (content, b'{"config":1}'):
            digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
            blobs.append({"digest": digest, "size": len(blob), "mediaType": "application/octet-stream"})
            answer, body = self.ask("HEAD", f"/v2/{name}/blobs/{digest}", token)
            if answer.status == 200:
                continue
            answer, body = self.ask("POST", f"/v2/{name}/blobs/uploads/", token)
            if answer.status != 202:
                return answer.status, body
            pieces = iter([blob[:3], blob[3:]])
            answer, _ = self.ask("PATCH", answer.headers["Location"], token, pieces, **{"Transfer-Encoding": "chunked"})
            self.assertEqual((answer.status, answer.headers["Range"]), (202, f"0-{len(blob) - 1}"))
            answer, _ = self.ask("PUT", f"{answer.headers['Location']}?digest={digest}", token, b"")
            self.assertEqual((answer.status, answer.headers["Docker-Content-Digest"]), (201, digest))
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs[1], "layers": blobs[:1]})
        answer, body = self.ask("PUT", f"/v2/{name}/manifests/{tag}", token, manifest.encode(), **{"Content-Type": MANIFEST})
        return answer.status, body

    def test_push_and_pull(self):
        token = self.login()
        self.assertEqual(self.push(token, "v1")[0], 201)
        answer, manifest = self.ask("GET", f"/v2/{self.name}/manifests/v1", token)
        self.assertEqual(answer.headers["Docker-Content-Digest"], f"sha256:{hashlib.sha256(manifest).hexdigest()}")
        layer = json.loads(manifest)["layers"][0]["digest"]
        self.assertEqual(self.ask("GET", f"/v2/{self.name}/blobs/{layer}", token)[1], b"layer")
        found = self.ecr.describe_images(repositoryName=self.name, imageIds=[{"imageTag": "v1"}])["imageDetails"][0]
        self.assertEqual(found["imageDigest"], answer.headers["Docker-Content-Digest"])

    def test_pushes_that_are_refused(self):
        token, digest = self.login(), f"sha256:{hashlib.sha256(b'announced').hexdigest()}"
        answer, _ = self.ask("POST", f"/v2/{self.name}/blobs/uploads/", token)
        answer, body = self.ask("PUT", f"{answer.headers['Location']}?digest={digest}", token, b"sent")
        self.assertEqual((answer.status, json.loads(body)["errors"][0]["code"]), (400, "DIGEST_INVALID"))
        part = {"digest": digest, "size": 4, "mediaType": "application/octet-stream"}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": part, "layers": []}).encode()
        answer, body = self.ask("PUT", f"/v2/{self.name}/manifests/v1", token, manifest, **{"Content-Type": MANIFEST})
        self.assertEqual((answer.status, json.loads(body)["errors"][0]["code"]), (400, "BLOB_UNKNOWN"))

    def test_who_may_push(self):
        answer, _ = self.ask("GET", "/v2/")
        self.assertEqual(answer.status, 401)
        self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Basic realm="))
        self.assertEqual(self.ask("GET", "/v2/", base64.b64encode(b"AWS:guess").decode())[0].status, 401)
        token = self.login()
        self.assertEqual(self.ask("GET", "/v2/", token)[0].status, 200)
        self.order(ecr={"token_seconds": 0})
        answer, body = self.ask("GET", "/v2/", token)
        self.assertEqual(answer.status, 403)
        self.assertIn(b"Your authorization token has expired. Reauthenticate and try again.", body)

    def test_a_repository_that_is_not_there(self):
        status, body = self.push(self.login(), "v1", name="gone")
        self.assertEqual((status, json.loads(body)["errors"][0]["code"]), (404, "NAME_UNKNOWN"))

    def test_an_immutable_tag(self):
        self.order(ecr={"repositories": [{"name": self.name, "immutable": True}]})
        token = self.login()
        self.assertEqual(self.push(token, "v1")[0], 201)
        for content in (b"layer", b"other"):  # the same image once more is refused too
            status, body = self.push(token, "v1", content)
            self.assertEqual((status, json.loads(body)["errors"][0]), (400, {
                "code": "TAG_INVALID", "message": f"The image tag 'v1' already exists in the '{self.name}' repository and "
                                                  "cannot be overwritten because the repository is immutable."}))
        self.assertEqual(self.push(token, "v2")[0], 201)

    def test_another_registry(self):
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": []}).encode()

        class Elsewhere(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                there = self.path.endswith("/manifests/pushed")
                self.send_response(200 if there else 404)
                self.send_header("Content-Type", MANIFEST)
                self.end_headers()
                self.wfile.write(manifest if there else b"{}")

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        self.order(ecr={"endpoint": endpoint, "repositories": [{"name": self.name}]})
        self.assertEqual(self.ecr.get_authorization_token()["authorizationData"][0]["proxyEndpoint"], endpoint)
        answer = self.ecr.batch_get_image(repositoryName=self.name, imageIds=[{"imageTag": "pushed"}, {"imageTag": "not"}])
        self.assertEqual(answer["images"][0]["imageId"]["imageDigest"], f"sha256:{hashlib.sha256(manifest).hexdigest()}")
        self.assertEqual(answer["failures"][0]["imageId"], {"imageTag": "not"})


if __name__ == "__main__":
    unittest.main()

"""What the tests of the double share: the double, running, and who asks it: Debian's `aws`, or Debian's botocore.

`aws` takes most of a second to start, so long conversations go through botocore, which is what `aws` is made of.
"""
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest
import urllib.request

import botocore.config
import botocore.exceptions
import botocore.session

HERE = pathlib.Path(__file__).resolve().parent
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REGION = "eu-west-1"


class Asked(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.clients = {}
        cls.directory = tempfile.TemporaryDirectory()
        ready = pathlib.Path(cls.directory.name, "ready")
        cls.journal = pathlib.Path(cls.directory.name, "journal")
        cls.double = subprocess.Popen([HERE / "double.py", "--ready", ready, "--journal", cls.journal])
        for _ in range(3000):
            if ready.exists():
                break
            time.sleep(0.01)
        cls.url = f"http://127.0.0.1:{ready.read_text().strip()}"

    @classmethod
    def tearDownClass(cls):
        for client in cls.clients.values():
            client.close()
        cls.double.kill()
        cls.double.wait()
        cls.directory.cleanup()

    def order(self, **orders):
        urllib.request.urlopen(f"{self.url}/_double", data=json.dumps(orders).encode()).close()

    def aws(self, *arguments, secret=SECRET, key="AKIDEXAMPLE", token=None, environment=None, body=None):
        """(exit code, answer, what was said of errors, what the double understood)."""
        self.journal.write_text("")
        variables = {
            "PATH": "/usr/bin:/bin", "HOME": self.directory.name, "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "", "LC_ALL": "C.UTF-8", **(environment or {})}
        if token:
            variables["AWS_SESSION_TOKEN"] = token
        done = subprocess.run(["/usr/bin/aws", "--endpoint-url", self.url, *arguments], env=variables, text=True,
                              input=body, capture_output=True, check=False)
        notes = [json.loads(line) for line in self.journal.read_text().splitlines()]
        return done.returncode, self._read(done.stdout), done.stderr, notes

    @staticmethod
    def _read(text):
        try:
            return json.loads(text or "null")
        except ValueError:
            return text

    def client(self, service, region=REGION, endpoint=None, retries=1, **config):
        """botocore's, which does not repeat what fails. It knows what tests/aws/models adds."""
        asked = (service, region, endpoint, retries, repr(config))
        if asked in self.clients:
            return self.clients[asked]
        os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
        session = botocore.session.Session()
        session.get_component("data_loader").search_paths.insert(0, str(HERE / "models"))
        made = session.create_client(
            service, region_name=region, endpoint_url=endpoint or self.url, aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key=SECRET,
            config=botocore.config.Config(retries={"total_max_attempts": retries, "mode": "standard"}, **config))
        self.clients[asked] = made
        return made

    def refused(self, call, **params):
        """(code, message, HTTP status) of what must not be done."""
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**params)
        answer = caught.exception.response
        return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]

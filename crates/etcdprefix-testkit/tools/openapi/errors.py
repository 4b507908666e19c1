"""What the API says when it says no."""


class ApiError(Exception):
    """A status of HTTP, the cloud's code, and its line."""

    def __init__(self, status, code, message):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


def missing(name):
    return ApiError(400, "MissingParameter", f"The input parameter {name} that is mandatory for processing this request is not supplied.")


def invalid(name, why):
    return ApiError(400, f"InvalidParameter.{name}", f"The specified parameter {name} is not valid: {why}")
